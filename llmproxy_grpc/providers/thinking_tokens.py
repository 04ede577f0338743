"""Continuity tokens of thinking that its provider signs, as Claude's is: it goes back unmodified, shown or not."""

from typing import Final

import msgspec
from msgspec import Struct

from llmproxy_grpc.messages import ReasoningPart
from llmproxy_grpc.providers.jsonio import joined

# What a token holds: the signature of a thinking whose text the caller has, all of it, or redacted data.
_SIGNATURE: Final = b"s:"
_WHOLE: Final = b"b:"
_REDACTED: Final = b"r:"


class Thought(Struct, frozen=True):
    """Thinking as its provider made it: a text with a signature, or data that nobody else can read."""

    thinking: str = ""
    signature: str = ""
    data: str = ""


_DECODER = msgspec.json.Decoder(Thought)


def signature_token(signature: str) -> bytes:
    """The token of thinking that the caller sees."""
    return _SIGNATURE + signature.encode("utf-8", "replace") if signature else b""


def hidden_token(thinking: str, signature: str) -> bytes:
    """The token of thinking that the caller does not see: all of it."""
    return _WHOLE + msgspec.json.encode({"thinking": joined(thinking), "signature": joined(signature)})


def redacted_token(data: str) -> bytes:
    """The token of thinking that the provider does not show."""
    return _REDACTED + data.encode("utf-8", "replace")


def thought_of(part: ReasoningPart) -> Thought | None:
    """What a part was; None without its token: another target's thinking means nothing here."""
    token = part.continuity_token
    if token.startswith(_SIGNATURE):
        return Thought(part.text, token.removeprefix(_SIGNATURE).decode("utf-8", "replace"))
    if token.startswith(_REDACTED):
        return Thought(data=token.removeprefix(_REDACTED).decode("utf-8", "replace"))
    if not token.startswith(_WHOLE):
        return None
    try:
        return _DECODER.decode(token.removeprefix(_WHOLE))
    except (ValueError, RecursionError):
        return None
