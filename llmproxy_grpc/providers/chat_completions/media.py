"""Pictures, sound, videos and documents as content parts of a request."""

from collections.abc import Mapping
from typing import Any

from llmproxy_grpc.messages import MediaDetail, MediaKind, MediaPart
from llmproxy_grpc.providers.chat_completions.quirks import MediaStyle
from llmproxy_grpc.providers.document_names import filename_of
from llmproxy_grpc.providers.media import base64_of, url_of

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


def content_part(part: MediaPart, style: MediaStyle) -> dict[str, Any]:
    """Encodes a piece of media that the vendor takes."""
    if part.kind is MediaKind.IMAGE:
        return {"type": "image_url", "image_url": _image(part)}
    if part.kind is MediaKind.VIDEO:
        return {"type": "video_url", "video_url": {"url": url_of(part)}}
    if style is MediaStyle.MISTRAL:
        return _mistrals(part)
    if part.kind is MediaKind.AUDIO:
        audio = {"data": base64_of(part), "format": AUDIO_FORMATS[part.plain_type]}
        return {"type": "input_audio", "input_audio": audio}
    return {"type": "file", "file": _document(part)}


def _image(part: MediaPart) -> dict[str, str]:
    image = {"url": url_of(part)}
    if part.detail:
        image["detail"] = _DETAILS[part.detail]
    return image


def _document(part: MediaPart) -> dict[str, str]:
    if part.file_id is not None:
        return {"file_id": part.file_id}
    return {"filename": filename_of(part), "file_data": url_of(part)}


def _mistrals(part: MediaPart) -> dict[str, str]:
    if part.kind is MediaKind.AUDIO:
        return {"type": "input_audio", "input_audio": base64_of(part)}
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    named = {"document_name": part.filename} if part.filename else {}
    return {"type": "document_url", "document_url": url_of(part), **named}
