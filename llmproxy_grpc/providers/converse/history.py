"""The conversation so far as `system` and `messages` of a request."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, Final

from llmproxy_grpc.messages import (
    CacheHint,
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
from llmproxy_grpc.providers.call_ids import CLAUDE, CallIds
from llmproxy_grpc.providers.converse.cache_hints import is_long
from llmproxy_grpc.providers.converse.formats import format_of
from llmproxy_grpc.providers.instructions import INSTRUCTIONS
from llmproxy_grpc.providers.media import base64_of
from llmproxy_grpc.providers.options import whole_numbers
from llmproxy_grpc.providers.saying import without_thoughts_of_nothing
from llmproxy_grpc.providers.thinking_tokens import thought_of
from llmproxy_grpc.providers.tool_arguments import as_object

Block = dict[str, Any]

_FAILED: Final = {"text": "The tool failed."}
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9\-()\[\]]+")
_LONGEST_NAME: Final = 190
"""The limit is 200, and a number may follow."""
_KEYS: Final = {
    MediaKind.IMAGE: "image",
    MediaKind.AUDIO: "audio",
    MediaKind.VIDEO: "video",
    MediaKind.DOCUMENT: "document",
}


class History:
    """The conversation of one request, in Converse's blocks.

    Args:
        messages: All of them.
        thinks: Tells whether the model thinks over it: where it does not, it refuses its earlier thinking.
        result_status: Whether the model takes the status of a tool's result.
    """

    def __init__(self, messages: Iterable[Message], *, thinks: Callable[[], bool], result_status: bool) -> None:
        self._messages = without_thoughts_of_nothing(messages)
        self._thinks = thinks
        self._result_status = result_status
        self._ids = CallIds(CLAUDE)
        self._names: dict[str, Iterator[int]] = {}

    def system(self) -> list[Block]:
        """The instructions, which stand outside the conversation on this wire, wherever in it they came."""
        instructions = (message for message in self._messages if message.role in INSTRUCTIONS)
        return [block for message in instructions for block in self._blocks(message.parts)]

    def turns(self) -> list[dict[str, Any]]:
        """The turns; neighbours of one role are one turn, so that all results of parallel calls stand together."""
        turns: list[dict[str, Any]] = []
        for message in self._messages:
            if message.role in INSTRUCTIONS:
                continue
            role = "assistant" if message.role is Role.ASSISTANT else "user"
            blocks = self._blocks(message.parts)
            if not blocks:
                continue
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"] += blocks
            else:
                turns.append({"role": role, "content": blocks})
        for turn in turns:
            if turn["role"] == "user":  # what Bedrock's own tools gave stands behind its call
                turn["content"] = _with_results_first(turn["content"])
        return turns

    def _blocks(self, parts: Iterable[Part]) -> list[Block]:
        blocks: list[Block] = []
        for part in parts:
            block = self._block(part)
            if block is not None:
                blocks.append(block)
            if part.cache_hint is not None:
                blocks.append({"cachePoint": _cache_point(part.cache_hint)})
        return blocks

    def _block(self, part: Part) -> Block | None:
        block: Block | None = None
        match part:
            case TextPart(text=text) | RefusalPart(text=text):
                # A text without anything to read is an error on this wire.
                block = {"text": text} if text and not text.isspace() else None
            case MediaPart():
                block = {_KEYS[part.kind]: self._media(part)}
            case ToolCallPart():
                call_id, arguments = self._ids.of_call(part.id), as_object(part.arguments_json)
                block = {"toolUse": {"toolUseId": call_id, "name": part.name, "input": arguments}}
            case ToolResultPart():
                block = {"toolResult": self._result(part)}
            case ReasoningPart():
                block = _thinking(part) if self._thinks() else None
            case OpaquePart():
                block = {part.type: whole_numbers(part.value)}
        return block

    def _result(self, part: ToolResultPart) -> Block:
        content = [block for each in part.content if (block := self._block(each)) is not None]
        result: Block = {"toolUseId": self._ids.of_result(part.tool_call_id), "content": content}
        if self._result_status:
            result["status"] = "error" if part.is_error else "success"
            if part.is_error and not content:
                # An error has to say something.
                result["content"] = [_FAILED]
        return result

    def _media(self, part: MediaPart) -> Block:
        if part.uri is not None:
            source: Block = {"s3Location": {"uri": part.uri}}
        else:
            source = {"bytes": base64_of(part)}
        block: Block = {"format": format_of(part), "source": source}
        if part.kind is MediaKind.DOCUMENT:
            block["name"] = self._name(part.filename)
        return block

    def _name(self, filename: str) -> str:
        """A name out of the few characters that are allowed, and of which no request may have two."""
        name = unique = _NOT_IN_NAMES.sub(" ", filename).strip()[:_LONGEST_NAME] or "document"
        # Each name goes on where its last number was: ten thousand documents may have the same.
        numbers = self._names.get(name.lower(), count(2))
        while unique.lower() in self._names:
            unique = f"{name} {next(numbers)}"
        self._names[unique.lower()] = count(2)
        return unique


def called_tools(messages: Iterable[Message]) -> list[str]:
    """The names of the tools that the conversation has called, once each."""
    calls = (part for message in messages for part in message.parts if isinstance(part, ToolCallPart))
    return list(dict.fromkeys(call.name for call in calls))


def _with_results_first(blocks: list[Block]) -> list[Block]:
    """Results begin their turn, whatever the user said before them; marks stay behind what they mark."""
    results: list[Block] = []
    others: list[Block] = []
    place = others
    for block in blocks:
        if "cachePoint" not in block:
            place = results if "toolResult" in block else others
        place.append(block)
    return results + others


def _thinking(part: ReasoningPart) -> Block | None:
    thought = thought_of(part)
    if thought is None:
        return None
    if thought.data:
        return {"reasoningContent": {"redactedContent": thought.data}}
    text = {"text": thought.thinking, "signature": thought.signature}
    return {"reasoningContent": {"reasoningText": text}}


def _cache_point(hint: CacheHint) -> Block:
    return {"type": "default", "ttl": "1h"} if is_long(hint) else {"type": "default"}
