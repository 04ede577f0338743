"""Continuity tokens of the APIs of OpenAI's family and Ollama's: JSON objects of what a part has no place for."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from llmproxy_grpc.messages import ReasoningPart
from llmproxy_grpc.providers.jsonio import joined_deeply

_HIDDEN: Final = "hidden_thinking"
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def token_of(fields: Mapping[str, Any], *names: str) -> bytes:
    """The token that holds these of the fields; empty if there are none."""
    kept = {name: fields[name] for name in names if fields.get(name) is not None}
    if not kept:
        return b""
    try:
        return msgspec.json.encode(kept)
    except UnicodeEncodeError:
        return msgspec.json.encode(joined_deeply(kept))


def fields_of(token: bytes) -> dict[str, Any]:
    """The fields that a token holds; none if it is of another API."""
    try:
        return _OBJECT.decode(token) if token else {}
    except (ValueError, RecursionError):
        return {}


def hidden_token(thinking: str) -> bytes:
    """The token of thinking that the caller does not see but that has to come back; empty without any."""
    return token_of({_HIDDEN: thinking}, _HIDDEN) if thinking else b""


def thinking_of(part: ReasoningPart) -> str:
    """What goes back of thinking as text: what the caller saw, or what its token holds."""
    hidden = "" if part.text else fields_of(part.continuity_token).get(_HIDDEN)
    return hidden if isinstance(hidden, str) and hidden else part.text
