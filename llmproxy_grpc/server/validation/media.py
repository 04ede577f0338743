"""The rules of pictures, sound, video and documents."""

import re

from llmproxy_grpc._gen.v1 import content_pb2 as pb
from llmproxy_grpc.server.validation import bounds
from llmproxy_grpc.server.validation.findings import Findings
from llmproxy_grpc.server.validation.rules import check_required_word, check_word

MEDIA = frozenset({"image", "audio", "video", "document"})

# No scheme has one letter; a path of Windows begins with one.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):\S")
_MEDIA_TYPE = re.compile(
    r"[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9*][\w!#$&^.+-]*( *; *[\w!#$&^.+-]+=[^;\x00-\x1f]+)*", re.ASCII
)


def check_media(found: Findings, field: str, media: pb.Media) -> None:
    """Checks that the bytes are somewhere, and that their type is said."""
    source = media.WhichOneof("source")
    if source is None:
        found.add(field, "must have data, uri or file_id")
    elif source == "data" and not media.data:
        found.add(f"{field}.data", "must not be empty")
    elif source == "uri":
        _check_uri(found, f"{field}.uri", media.uri)
    elif source == "file_id":
        check_required_word(found, f"{field}.file_id", media.file_id, bounds.MAX_FILE_ID)
    _check_media_type(found, f"{field}.media_type", media.media_type, required=source == "data")
    check_word(found, f"{field}.filename", media.filename, bounds.MAX_FILENAME)


def _check_uri(found: Findings, field: str, uri: str) -> None:
    scheme = _SCHEME.match(uri)
    if scheme is None:
        found.add(field, "must be absolute, such as https://example.com/cat.png")
    elif scheme[1].lower() in {"data", "file"}:
        # Nobody else has the caller's file, and a server of models may have others that callers must not see.
        found.add(field, "must be fetchable; give inline bytes in the field data")
    else:
        check_word(found, field, uri, bounds.MAX_URI)


def _check_media_type(found: Findings, field: str, media_type: str, *, required: bool) -> None:
    if not media_type:
        if required:
            found.add(field, "is required with data")
    elif len(media_type) > bounds.MAX_MEDIA_TYPE or not _MEDIA_TYPE.fullmatch(media_type):
        found.add(field, "must be a media type, such as image/png")
