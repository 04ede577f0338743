"""The conversation so far as `system` and `messages` of a request."""

from collections.abc import Iterable, Iterator
from typing import Any

from llmproxy_grpc.messages import (
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.media import base64_of, media_type
from llmproxy_grpc.providers.options import whole_numbers
from llmproxy_grpc.providers.thinking_tokens import thought_of
from llmproxy_grpc.providers.tool_arguments import as_object

Block = dict[str, Any]
_INSTRUCTIONS = frozenset({Role.SYSTEM, Role.DEVELOPER})


def encode_system(messages: Iterable[Message]) -> list[Block]:
    """The instructions, which stand outside the conversation on this wire, wherever in it they came."""
    return [block for message in messages if message.role in _INSTRUCTIONS for block in _blocks(message.parts)]


def encode_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The turns; neighbours of one role are one turn, so that all results of parallel calls stand together, first."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role in _INSTRUCTIONS:
            continue
        role = "assistant" if message.role is Role.ASSISTANT else "user"
        blocks = list(_blocks(message.parts))
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(parts: Iterable[Part]) -> Iterator[Block]:
    for part in parts:
        block = _block(part)
        if block is None:
            continue
        if part.cache_hint is not None:
            block["cache_control"] = _cache_control(part.cache_hint.ttl)
        yield block


def _block(part: Part) -> Block | None:
    block: Block | None = None
    match part:
        case TextPart(text=text) | RefusalPart(text=text):
            # A text without anything to read is an error on this wire.
            block = {"type": "text", "text": text} if text and not text.isspace() else None
        case MediaPart():
            block = _media(part)
        case ToolCallPart():
            block = {"type": "tool_use", "id": part.id, "name": part.name, "input": as_object(part.arguments_json)}
        case ToolResultPart():
            block = _result(part)
        case ReasoningPart():
            block = _thinking(part)
        case OpaquePart():
            block = {"type": part.type, **whole_numbers(part.value)}
    return block


def _thinking(part: ReasoningPart) -> Block | None:
    thought = thought_of(part)
    if thought is None:
        return None
    if thought.data:
        return {"type": "redacted_thinking", "data": thought.data}
    return {"type": "thinking", "thinking": thought.thinking, "signature": thought.signature}


def _result(part: ToolResultPart) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": part.tool_call_id}
    content = list(_blocks(part.content))
    if content:
        block["content"] = content
    if part.is_error:
        block["is_error"] = True
    return block


def _media(part: MediaPart) -> Block:
    if part.kind is MediaKind.IMAGE:
        return {"type": "image", "source": _source(part)}
    block: Block = {"type": "document", "source": _source(part)}
    if part.filename:
        block["title"] = part.filename
    return block


def _source(part: MediaPart) -> Block:
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    if part.uri is not None:
        return {"type": "url", "url": part.uri}
    kind = media_type(part)
    if kind == "text/plain":
        return {"type": "text", "media_type": kind, "data": (part.data or b"").decode("utf-8", "replace")}
    return {"type": "base64", "media_type": kind, "data": base64_of(part)}


def _cache_control(ttl: float | None) -> Block:
    return {"type": "ephemeral"} if ttl is None else {"type": "ephemeral", "ttl": "1h" if ttl > 300 else "5m"}
