"""Pictures and the like inside a line: by their bytes, or by where these are."""

from base64 import b64encode

from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.messages import MediaPart


def data_url(part: MediaPart) -> str:
    """An address for the bytes: the URI, or a `data:` URI that holds them.

    Raises:
        Unfit: Only the provider that the file was sent to has the bytes.
    """
    if part.uri is not None:
        return part.uri
    if part.data is None:
        raise Unfit(SkipReason.MEDIA_NOT_SUPPORTED)
    return f"data:{part.media_type};base64,{b64encode(part.data).decode('ascii')}"
