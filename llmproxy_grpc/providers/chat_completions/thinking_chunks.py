"""Thinking that comes as pieces of the content and goes back among them, each with its signature: Mistral's."""

from typing import Any, Final

from llmproxy_grpc.messages import Citation, ReasoningPart
from llmproxy_grpc.providers.continuity import fields_of, thinking_of, token_of

FIELD: Final = "content"
"""The field of a message that takes such thinking back: that in which the rest is said as well."""
_KIND: Final = "thinking"


def chunk_token(signature: str, hidden: str = "") -> bytes:
    """The token of thinking: all other thinking has none like it, and does not go back so.

    Args:
        signature: What the model signed it with; empty if it did not.
        hidden: Its text, where the caller does not see it.
    """
    fields = {"chunk": _KIND, "signature": signature or None, "hidden_thinking": hidden or None}
    return token_of(fields, *fields)


def chunk_of(part: ReasoningPart) -> dict[str, Any] | None:
    """The piece of content that a part was; None if it was none."""
    fields = fields_of(part.continuity_token)
    if fields.get("chunk") != _KIND:
        return None
    text, signature = thinking_of(part), fields.get("signature")
    chunk: dict[str, Any] = {"type": _KIND, "thinking": [{"type": "text", "text": text}] if text else []}
    return {**chunk, "signature": signature} if signature else chunk


class Run:
    """Thinking that one signature ends, or what is said between: it goes on until something of another kind comes."""

    __slots__ = ("_pieces", "citations", "is_thinking", "signature")

    def __init__(self, *, is_thinking: bool) -> None:
        self.is_thinking = is_thinking
        self.signature = ""
        self.citations: list[Citation] = []
        self._pieces: list[str] = []

    def takes(self, signature: str, *, is_thinking: bool) -> bool:
        """Whether such a piece goes on with it: what is signed has ended, unless the signature is said again."""
        return self.is_thinking is is_thinking and (not self.signature or signature == self.signature)

    def add(self, text: str, signature: str = "") -> None:
        """Takes the next piece."""
        if text:
            self._pieces.append(text)
        self.signature = signature or self.signature

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._pieces)
