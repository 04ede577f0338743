"""What an item has that a part has no place for, and that must come back with it.

Thinking is one whole: its signature is of no use to another text.
"""

from typing import Any, Final

from llmproxy_grpc.providers.continuity import fields_of, token_of

CUSTOM_CALL: Final = "custom_tool_call"
SIGNATURE: Final = "thought_signature"
"""Perplexity's field for that of the model behind it, which comes with a call, and goes back with it and its result."""


def thinking_token(item: dict[str, Any]) -> bytes:
    """The token of thinking; empty if nobody could read it again: without a store, its id alone says nothing."""
    if not item.get("encrypted_content") and not item.get("content"):
        return b""
    return token_of(item, "id", "summary", "content", "encrypted_content")


def call_token(item: dict[str, Any]) -> bytes:
    """The token of a tool call: that its input is free text, whose tool it is, which program made it, its signature."""
    if item.get("type") == CUSTOM_CALL:
        return token_of(item, "type", "namespace", "caller")
    return token_of(item, "namespace", "caller", SIGNATURE)


def message_token(item: dict[str, Any]) -> bytes:
    """The token of a text: whether it comments or answers."""
    return token_of(item, "phase")


def thinking_item(token: bytes) -> dict[str, Any] | None:
    """The item that a token of thinking holds; None without one."""
    fields = fields_of(token)
    return {"type": "reasoning", "summary": [], **fields} if fields.keys() & {"encrypted_content", "content"} else None
