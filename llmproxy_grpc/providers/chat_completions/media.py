"""Pictures, sound, videos and documents as content parts of a request."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from llmproxy_grpc.messages import MediaDetail, MediaKind, MediaPart
from llmproxy_grpc.providers.chat_completions.quirks import Quirks

# The wire names two formats of sound; everything else has to be converted before.
AUDIO_FORMATS: Mapping[str, str] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}

_DETAILS: Mapping[MediaDetail, str] = {MediaDetail.LOW: "low", MediaDetail.HIGH: "high"}


def objection(part: MediaPart, quirks: Quirks) -> str:
    """Says why a piece of media cannot be sent; empty if it can."""
    if part.kind is MediaKind.IMAGE:
        return _image_objection(part, quirks)
    if part.kind is MediaKind.AUDIO:
        return _audio_objection(part)
    if part.kind is MediaKind.VIDEO:
        return _video_objection(part, quirks)
    if part.uri is not None and not quirks.document_uri:
        return "documents are sent by their bytes or by the id of an uploaded file"
    return ""


def content_part(part: MediaPart) -> dict[str, Any]:
    """Encodes a piece of media to which there is no objection."""
    if part.kind is MediaKind.IMAGE:
        return {"type": "image_url", "image_url": _image(part)}
    if part.kind is MediaKind.AUDIO:
        audio = {"data": _base64(part), "format": AUDIO_FORMATS[_media_type(part)]}
        return {"type": "input_audio", "input_audio": audio}
    if part.kind is MediaKind.VIDEO:
        return {"type": "video_url", "video_url": {"url": _url(part)}}
    return {"type": "file", "file": _document(part)}


def _image_objection(part: MediaPart, quirks: Quirks) -> str:
    if part.file_id is not None:
        return "pictures are sent by their bytes or by a URI, not by the id of an uploaded file"
    if part.uri is not None and not part.uri.startswith("data:") and not quirks.image_uri:
        return "this provider takes pictures by their bytes alone"
    return ""


def _audio_objection(part: MediaPart) -> str:
    if part.data is None:
        return "sound is sent by its bytes"
    if _media_type(part) not in AUDIO_FORMATS:
        return "sound is sent as WAV or MP3"
    return ""


def _video_objection(part: MediaPart, quirks: Quirks) -> str:
    if not quirks.video:
        return "this provider takes no videos"
    if part.file_id is not None:
        return "videos are sent by their bytes or by a URI"
    return ""


def _image(part: MediaPart) -> dict[str, str]:
    image = {"url": _url(part)}
    if part.detail:
        image["detail"] = _DETAILS[part.detail]
    return image


def _document(part: MediaPart) -> dict[str, str]:
    if part.file_id is not None:
        return {"file_id": part.file_id}
    document = {"file_data": _url(part)}
    if part.filename:
        document["filename"] = part.filename
    return document


def _url(part: MediaPart) -> str:
    if part.uri is not None:
        return part.uri
    return f"data:{part.media_type};base64,{_base64(part)}"


def _base64(part: MediaPart) -> str:
    return b64encode(part.data or b"").decode("ascii")


def _media_type(part: MediaPart) -> str:
    return part.media_type.partition(";")[0].strip().lower()
