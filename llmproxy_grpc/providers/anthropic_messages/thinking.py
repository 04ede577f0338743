"""Thinking blocks and the continuity tokens in which they come back: unmodified, as the API demands."""

from typing import Any, Final

import msgspec

from llmproxy_grpc.messages import ReasoningPart

# What a token holds: the signature of a thinking whose text the caller has, a whole block, or redacted data.
_SIGNATURE: Final = b"s:"
_BLOCK: Final = b"b:"
_REDACTED: Final = b"r:"


def signature_token(signature: str) -> bytes:
    """The token of thinking that the caller sees."""
    return _SIGNATURE + signature.encode("utf-8", "replace") if signature else b""


def hidden_token(thinking: str, signature: str) -> bytes:
    """The token of thinking that the caller does not see: all of it."""
    return _BLOCK + msgspec.json.encode({"thinking": thinking, "signature": signature})


def redacted_token(data: str) -> bytes:
    """The token of thinking that the provider does not show."""
    return _REDACTED + data.encode("utf-8", "replace")


def thinking_block(part: ReasoningPart) -> dict[str, Any] | None:
    """The block that a part was; None without its token: another target's thinking means nothing here."""
    token = part.continuity_token
    if token.startswith(_SIGNATURE):
        return {"type": "thinking", "thinking": part.text, "signature": _text(token, _SIGNATURE)}
    if token.startswith(_REDACTED):
        return {"type": "redacted_thinking", "data": _text(token, _REDACTED)}
    if token.startswith(_BLOCK):
        return _whole_block(token.removeprefix(_BLOCK))
    return None


def _text(token: bytes, mark: bytes) -> str:
    return token.removeprefix(mark).decode("utf-8", "replace")


def _whole_block(data: bytes) -> dict[str, Any] | None:
    try:
        block = msgspec.json.decode(data, type=dict[str, str])
    except ValueError:
        return None
    return {"type": "thinking", "thinking": block.get("thinking", ""), "signature": block.get("signature", "")}
