"""Fields of blocks that the API does not model but wants back, as continuity tokens of their parts."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from llmproxy_grpc.messages import Part

_MARK: Final = b"f:"
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DIRECT: Final = {"type": "direct"}


def citations_token(citations: list[dict[str, Any]]) -> bytes:
    """The token of a text, whose citations of web pages have to come back; empty if it has none."""
    if not any(citation.get("encrypted_index") for citation in citations):
        return b""
    return _token({"citations": citations})


def call_token(*, caller: Any, toolset: Any) -> bytes:
    """The token of a tool call that other code made, or that belongs to a set of tools; else empty."""
    fields = {}
    if caller and caller != _DIRECT:
        fields["caller"] = caller
    if toolset:
        fields["toolset_name"] = toolset
    return _token(fields) if fields else b""


def extra_fields_of(part: Part) -> Mapping[str, Any]:
    """The fields that a part's block had, to the byte."""
    token = part.continuity_token
    if not token.startswith(_MARK):
        return {}
    try:
        return _FIELDS.decode(token.removeprefix(_MARK))
    except (ValueError, RecursionError):
        return {}


def _token(fields: Mapping[str, Any]) -> bytes:
    try:
        return _MARK + msgspec.json.encode(fields)
    except UnicodeEncodeError:  # half a character: what cannot be sent cannot come back
        return b""
