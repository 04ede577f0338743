"""Pictures that a model answers with, as gateways write them: in `images`, beside the content; so they go back."""

from collections.abc import Iterator
from typing import Any, Final

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import GenerationConfig, MediaKind, MediaPart, Modality
from llmproxy_grpc.providers.jsonio import joined
from llmproxy_grpc.providers.media import with_bytes

FIELD: Final = "images"


def add_pictures(body: dict[str, Any], config: GenerationConfig) -> None:
    """Asks for pictures, if the call wants any."""
    if Modality.IMAGE in config.output_modalities:
        body["modalities"] = [each.name.lower() for each in sorted(config.output_modalities, reverse=True)]


def pictures_of(images: Any) -> Iterator[MediaPart]:
    """The pictures of a message, or of a piece of one.

    Raises:
        UpstreamProtocolError: One cannot be read.
    """
    for image in images if isinstance(images, list) else ():
        told = image.get("image_url") if isinstance(image, dict) else None
        address = told.get("url") if isinstance(told, dict) else told
        if not isinstance(address, str) or not address:
            continue
        picture = with_bytes(MediaPart(kind=MediaKind.IMAGE, uri=joined(address)))
        if picture.data is None and not address.startswith(("https://", "http://")):
            raise UpstreamProtocolError("The provider's picture cannot be read.")
        yield picture
