"""Pictures, sound, videos and documents: which of them a provider takes, and in what form they are sent."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from msgspec.structs import replace

from llmproxy_grpc.messages import MediaKind, MediaPart
from llmproxy_grpc.providers.features import MediaFeature, Place, Source

_NAMES: Mapping[MediaKind, str] = {
    MediaKind.IMAGE: "pictures",
    MediaKind.AUDIO: "sound",
    MediaKind.VIDEO: "videos",
    MediaKind.DOCUMENT: "documents",
}
_WAYS: Mapping[Source, str] = {
    Source.DATA: "by their bytes",
    Source.URI: "by a URI",
    Source.FILE_ID: "by the id of an uploaded file",
}
_PRINTED_TYPES = 8


def media_objection(part: MediaPart, feature: MediaFeature | None, place: Place) -> str:
    """Says why a piece of media cannot be sent; empty if it can.

    Args:
        part: A piece of media, after `with_bytes`.
        feature: How the provider takes this kind of media; None if it does not.
        place: Where the part stands.
    """
    name = _NAMES[part.kind]
    if feature is None or not (feature.prompts or feature.results):
        return f"this provider takes no {name}"
    sources = _sources(feature, place)
    if not sources:
        return f"this provider takes {name} in {'prompts' if feature.prompts else 'results of tools'} alone"
    if source_of(part) not in sources:
        ways = " or ".join(_WAYS[way] for way in sources)
        return f"this provider takes {name} {ways} alone"
    if feature.schemes and part.uri is not None and part.uri.partition(":")[0].lower() not in feature.schemes:
        return f"this provider takes {name} from {', '.join(sorted(feature.schemes))} addresses alone"
    if feature.types and part.data is not None and part.plain_type not in feature.types:
        known = sorted(feature.types)
        more = ", …" if len(known) > _PRINTED_TYPES else ""
        return f"this provider takes {name} as {', '.join(known[:_PRINTED_TYPES])}{more}"
    return ""


def source_of(part: MediaPart) -> Source:
    """Where the bytes of a piece of media are."""
    if part.data is not None:
        return Source.DATA
    return Source.FILE_ID if part.file_id is not None else Source.URI


def with_bytes(part: MediaPart) -> MediaPart:
    """Reads a `data:` URI (RFC 2397) as the bytes that it is; other media, and URIs that cannot be read, stay."""
    uri = part.uri
    if uri is None or uri[:5].lower() != "data:":
        return part
    head, comma, payload = uri[5:].partition(",")
    named, _, parameters = head.partition(";")
    is_base64 = parameters.lower().rpartition(";")[2].strip() == "base64"
    try:
        data = b64decode(payload, validate=True) if is_base64 else unquote_to_bytes(payload)
    except ValueError:
        return part
    return replace(part, uri=None, data=data, media_type=part.media_type or named or "text/plain") if comma else part


def base64_of(part: MediaPart) -> str:
    """The bytes in base64."""
    return b64encode(part.data or b"").decode("ascii")


def url_of(part: MediaPart) -> str:
    """An address for the bytes: the URI, or a `data:` URI that holds them."""
    return part.uri if part.uri is not None else f"data:{part.media_type};base64,{base64_of(part)}"


def _sources(feature: MediaFeature, place: Place) -> Source:
    if place is Place.PROMPT:
        return feature.prompts
    return feature.results if place is Place.RESULT else feature.answers
