"""The conversation so far as `system` and `messages` of a request."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

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
from llmproxy_grpc.providers.converse.features import FORMATS
from llmproxy_grpc.providers.media import base64_of, media_type
from llmproxy_grpc.providers.options import whole_numbers
from llmproxy_grpc.providers.thinking_tokens import thought_of
from llmproxy_grpc.providers.tool_arguments import as_object

Block = dict[str, Any]

_INSTRUCTIONS = frozenset({Role.SYSTEM, Role.DEVELOPER})
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9\-()\[\]]+")
_KEYS: Final = {MediaKind.IMAGE: "image", MediaKind.DOCUMENT: "document", MediaKind.VIDEO: "video"}


def encode_system(messages: Iterable[Message]) -> list[Block]:
    """The instructions, which stand outside the conversation on this wire, wherever in it they came."""
    return [block for message in messages if message.role in _INSTRUCTIONS for block in _blocks(message.parts)]


def encode_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The turns; neighbours of one role are one turn, so that all results of parallel calls stand together."""
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


def called_tools(messages: Iterable[Message]) -> list[str]:
    """The names of the tools that the conversation has called, once each."""
    calls = (part for message in messages for part in message.parts if isinstance(part, ToolCallPart))
    return list(dict.fromkeys(call.name for call in calls))


def _blocks(parts: Iterable[Part]) -> Iterator[Block]:
    for part in parts:
        block = _block(part)
        if block is not None:
            yield block
        if part.cache_hint is not None:
            yield {"cachePoint": _cache_point(part.cache_hint.ttl)}


def _block(part: Part) -> Block | None:
    block: Block | None = None
    match part:
        case TextPart(text=text) | RefusalPart(text=text):
            # A text without anything to read is an error on this wire.
            block = {"text": text} if text and not text.isspace() else None
        case MediaPart():
            block = {_KEYS[part.kind]: _media(part)}
        case ToolCallPart():
            call = {"toolUseId": part.id, "name": part.name, "input": as_object(part.arguments_json)}
            block = {"toolUse": call}
        case ToolResultPart():
            block = {"toolResult": _result(part)}
        case ReasoningPart():
            block = _thinking(part)
        case OpaquePart():
            block = {part.type: whole_numbers(part.value)}
    return block


def _result(part: ToolResultPart) -> Block:
    content = list(_blocks(part.content)) or [{"text": ""}]
    return {"toolUseId": part.tool_call_id, "content": content, "status": "error" if part.is_error else "success"}


def _media(part: MediaPart) -> Block:
    if part.uri is not None:
        source: Block = {"s3Location": {"uri": part.uri}}
    else:
        source = {"bytes": base64_of(part)}
    block: Block = {"format": FORMATS[part.kind].get(media_type(part), _suffix(part)), "source": source}
    if part.kind is MediaKind.DOCUMENT:
        block["name"] = _NOT_IN_NAMES.sub(" ", part.filename).strip() or "document"
    return block


def _suffix(part: MediaPart) -> str:
    """What the address ends with, for media whose type the caller leaves out."""
    return (part.uri or "").rpartition(".")[2].lower()


def _thinking(part: ReasoningPart) -> Block | None:
    thought = thought_of(part)
    if thought is None:
        return None
    if thought.data:
        return {"reasoningContent": {"redactedContent": thought.data}}
    text = {"text": thought.thinking, "signature": thought.signature}
    return {"reasoningContent": {"reasoningText": text}}


def _cache_point(ttl: float | None) -> Block:
    return {"type": "default"} if ttl is None else {"type": "default", "ttl": "1h" if ttl > 300 else "5m"}
