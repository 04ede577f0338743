"""Pictures and the like inside a line: by their bytes, or by where these are."""

from base64 import b64encode
from typing import Any, Final

from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.messages import MediaDetail, MediaPart

_FOR_ALL: Final = ("https://", "http://", "data:")
"""How addresses begin that every reader can follow."""
_DETAILS = {MediaDetail.LOW: "low", MediaDetail.HIGH: "high"}


def data_url(part: MediaPart) -> str:
    """An address for the bytes: the URI, or a `data:` URI that holds them.

    Raises:
        Unfit: Only the provider that the file was sent to has the bytes, or the cloud that it lies in.
    """
    if part.uri is not None and part.uri.lower().startswith(_FOR_ALL):
        return part.uri
    if part.data is None:
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    return f"data:{part.media_type};base64,{b64encode(part.data).decode('ascii')}"


def image_url(part: MediaPart) -> dict[str, Any]:
    """A picture as a part of Chat Completions."""
    image = {"url": data_url(part)}
    if part.detail:
        image["detail"] = _DETAILS[part.detail]
    return {"type": "image_url", "image_url": image}


def image(part: MediaPart) -> dict[str, Any]:
    """A picture as the chat templates of Transformers take it."""
    return {"type": "image", "image": data_url(part)}


def stored_at(part: MediaPart, scheme: str) -> str:
    """The address of a file for readers that fetch from one place alone, such as `gs://`.

    Raises:
        Unfit: The file is elsewhere, or inline.
    """
    if part.uri is None or not part.uri.startswith(scheme):
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    return part.uri
