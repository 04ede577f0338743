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
from llmproxy_grpc.providers.anthropic_messages.cache_hints import cache_control
from llmproxy_grpc.providers.anthropic_messages.extra_fields import extra_fields_of
from llmproxy_grpc.providers.call_ids import CLAUDE, CallIds
from llmproxy_grpc.providers.instructions import INSTRUCTIONS
from llmproxy_grpc.providers.media import base64_of
from llmproxy_grpc.providers.options import whole_numbers
from llmproxy_grpc.providers.saying import without_thoughts_of_nothing
from llmproxy_grpc.providers.thinking_tokens import thought_of
from llmproxy_grpc.providers.tool_arguments import as_object

Block = dict[str, Any]
Turn = dict[str, Any]
_FAILED = {"type": "text", "text": "The tool failed."}


class History:
    """A conversation on its way to the wire.

    Neighbours of one role are one turn, so that all results of parallel calls stand together.

    Args:
        thinks: Whether the model thinks: where it does not, the API refuses its earlier thinking.
        later_instructions: Whether instructions may stand within the conversation; else all of them stand before it.
    """

    def __init__(self, *, thinks: bool, later_instructions: bool) -> None:
        self.system: list[Block] = []
        self.turns: list[Turn] = []
        self._thinks = thinks
        self._later_instructions = later_instructions
        self._ids = CallIds(CLAUDE)
        self._waiting: list[Block] = []

    def add(self, messages: Iterable[Message]) -> None:
        """Adds the whole conversation."""
        for message in without_thoughts_of_nothing(messages):
            blocks = list(self._blocks(message.parts))
            if not blocks:
                continue
            if message.role in INSTRUCTIONS:
                # Within the conversation they may stand behind a turn of the user alone.
                (self._waiting if self.turns and self._later_instructions else self.system).extend(blocks)
                continue
            self._say("assistant" if message.role is Role.ASSISTANT else "user", blocks)
        self._instruct()
        self._put_results_first()

    def _say(self, role: str, blocks: list[Block]) -> None:
        if role == "assistant":
            self._instruct()
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"] += blocks
        else:
            self.turns.append({"role": role, "content": blocks})

    def _put_results_first(self) -> None:
        """Results begin their turn, whatever the user said before them."""
        for turn in self.turns:
            if turn["role"] == "user":
                turn["content"].sort(key=lambda block: block["type"] != "tool_result")

    def _instruct(self) -> None:
        if not self._waiting:
            return
        if self.turns[-1]["role"] == "user":
            self.turns.append({"role": "system", "content": self._waiting})
        else:
            self.system += self._waiting
        self._waiting = []

    def _blocks(self, parts: Iterable[Part]) -> Iterator[Block]:
        for part in parts:
            block = self._block(part)
            if block is None:
                continue
            if part.cache_hint is not None:
                block["cache_control"] = cache_control(part.cache_hint)
            yield block

    def _block(self, part: Part) -> Block | None:
        block: Block | None = None
        match part:
            case TextPart(text=text) | RefusalPart(text=text):
                # A text without anything to read is an error on this wire.
                block = {"type": "text", "text": text, **extra_fields_of(part)} if text and not text.isspace() else None
            case MediaPart():
                block = _media(part)
            case ToolCallPart():
                block = self._call(part)
            case ToolResultPart():
                block = self._result(part)
            case ReasoningPart():
                block = _thinking(part) if self._thinks else None
            case OpaquePart():
                block = {"type": part.type, **whole_numbers(part.value)}
        return block

    def _call(self, part: ToolCallPart) -> Block:
        call_id = self._ids.of_call(part.id)
        arguments = as_object(part.arguments_json)
        return {"type": "tool_use", "id": call_id, "name": part.name, "input": arguments, **extra_fields_of(part)}

    def _result(self, part: ToolResultPart) -> Block:
        block: Block = {"type": "tool_result", "tool_use_id": self._ids.of_result(part.tool_call_id)}
        content = list(self._blocks(part.content))
        if content:
            block["content"] = content
        if part.is_error:
            # An error has to say something.
            block["content"] = content or [_FAILED]
            block["is_error"] = True
        return block


def _thinking(part: ReasoningPart) -> Block | None:
    thought = thought_of(part)
    if thought is None:
        return None
    if thought.data:
        return {"type": "redacted_thinking", "data": thought.data}
    return {"type": "thinking", "thinking": thought.thinking, "signature": thought.signature}


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
    kind = part.plain_type
    if kind == "text/plain":
        return {"type": "text", "media_type": kind, "data": (part.data or b"").decode("utf-8", "replace")}
    return {"type": "base64", "media_type": kind, "data": base64_of(part)}
