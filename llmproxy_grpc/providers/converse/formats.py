"""Converse's names of the formats of media."""

from collections.abc import Mapping
from typing import Final

from llmproxy_grpc.messages import MediaKind, MediaPart

# By media types. Source: the service model of Bedrock's runtime.
FORMATS: Final[Mapping[MediaKind, Mapping[str, str]]] = {
    MediaKind.IMAGE: {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"},
    MediaKind.AUDIO: {
        "audio/mpeg": "mp3",
        "audio/mp3": "mp3",
        "audio/wav": "wav",
        "audio/x-wav": "wav",
        "audio/aac": "aac",
        "audio/x-aac": "x-aac",
        "audio/flac": "flac",
        "audio/ogg": "ogg",
        "audio/opus": "opus",
        "audio/mp4": "mp4",
        "audio/m4a": "m4a",
        "audio/x-m4a": "m4a",
        "audio/pcm": "pcm",
        "audio/webm": "webm",
        "audio/x-matroska": "mka",
    },
    MediaKind.VIDEO: {
        "video/x-matroska": "mkv",
        "video/quicktime": "mov",
        "video/mp4": "mp4",
        "video/webm": "webm",
        "video/x-flv": "flv",
        "video/mpeg": "mpeg",
        "video/x-ms-wmv": "wmv",
        "video/3gpp": "three_gp",
    },
    MediaKind.DOCUMENT: {
        "application/pdf": "pdf",
        "text/csv": "csv",
        "application/msword": "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/vnd.ms-excel": "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "text/html": "html",
        "text/plain": "txt",
        "text/markdown": "md",
    },
}
_SUFFIXES: Final = {"jpg": "jpeg", "3gp": "three_gp", "htm": "html", "text": "txt", "markdown": "md"}


def format_of(part: MediaPart) -> str:
    """The name of a piece of media's format: by its type, else by what its address ends with."""
    suffix = (part.uri or "").rpartition(".")[2].lower()
    return FORMATS[part.kind].get(part.plain_type) or _SUFFIXES.get(suffix, suffix)


def picture_type(name: str) -> str:
    """The media type of a picture by the name of its format; empty if there is no such name."""
    return next((media_type for media_type, known in FORMATS[MediaKind.IMAGE].items() if known == name), "")
