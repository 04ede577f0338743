"""The conversation so far as the `messages` of a request."""

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
from llmproxy_grpc.providers.call_ids import with_ids
from llmproxy_grpc.providers.chat_completions import thinking_chunks
from llmproxy_grpc.providers.chat_completions.caching import cache_mark
from llmproxy_grpc.providers.chat_completions.media import content_part
from llmproxy_grpc.providers.chat_completions.pictures import FIELD as PICTURES
from llmproxy_grpc.providers.chat_completions.quirks import Quirks, ids_of
from llmproxy_grpc.providers.chat_completions.reasoning_details import FIELD, details_of
from llmproxy_grpc.providers.chat_completions.speech import spoken_before
from llmproxy_grpc.providers.continuity import thinking_of
from llmproxy_grpc.providers.options import whole_numbers

CUSTOM_CALL = b"custom"
"""Continuity token of a call to a custom tool, whose input is free text: it goes back in its own shape."""


class History:
    """Encodes messages for one vendor.

    What has no place on this wire is left out: the thinking (unless the vendor takes it back), citations, and a tool
    result's error flag, which the result's text has to tell.
    """

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._ids = ids_of(quirks)
        self._roles = {
            Role.SYSTEM: "system",
            Role.DEVELOPER: "developer" if quirks.developer_role else "system",
            Role.USER: "user",
        }

    def encode(self, messages: tuple[Message, ...]) -> list[dict[str, Any]]:
        """Encodes a conversation; a message with several tool results becomes several messages."""
        encoded: list[dict[str, Any]] = []
        for message in messages if self._ids is None else with_ids(messages, self._ids):
            if message.role is Role.TOOL:
                encoded += [self._tool_result(part) for part in message.parts if isinstance(part, ToolResultPart)]
                continue
            if message.role is Role.ASSISTANT:
                fields = self._assistant(message)
            else:
                fields = {"role": self._roles[message.role], "content": self._content(message.parts)}
            if message.name:
                fields["name"] = message.name
            encoded.append(fields)
        return encoded

    def _assistant(self, message: Message) -> dict[str, Any]:
        parts = message.parts
        fields: dict[str, Any] = {"role": "assistant", "content": self._said(parts)}
        spoken = spoken_before(parts)
        if spoken:
            # Its words are those of the sound.
            fields = {"role": "assistant", "audio": {"id": spoken}}
        pictures = [part for part in parts if isinstance(part, MediaPart) and part.kind is MediaKind.IMAGE]
        if pictures and self._quirks.image_answers:
            fields[PICTURES] = [content_part(picture, self._quirks.media) for picture in pictures]
        calls = [_tool_call(part) for part in parts if isinstance(part, ToolCallPart)]
        if calls:
            fields["tool_calls"] = calls
        refusal = "".join(part.text for part in parts if isinstance(part, RefusalPart))
        if refusal and self._quirks.refusals:
            fields["refusal"] = refusal
        elif not spoken and fields["content"] is None and not calls:
            # Nothing at all is an error to many servers.
            fields["content"] = ""
        details = [
            each for part in parts if isinstance(part, ReasoningPart) for each in details_of(part.continuity_token)
        ]
        if details:
            fields[FIELD] = details
        elif self._quirks.reasoning_replay not in {"", thinking_chunks.FIELD}:
            thinking = "".join(thinking_of(part) for part in parts if isinstance(part, ReasoningPart))
            if thinking:
                fields[self._quirks.reasoning_replay] = thinking
        return fields

    def _said(self, parts: tuple[Part, ...]) -> str | list[dict[str, Any]] | None:
        # What the model said was one text on this wire: several parts are only where thinking or calls came between.
        spoken = TextPart if self._quirks.refusals else TextPart | RefusalPart
        texts = [part.text for part in parts if isinstance(part, spoken)]
        if self._quirks.reasoning_replay == thinking_chunks.FIELD and any(map(_chunk, parts)):
            return self._content(tuple(part for part in parts if isinstance(part, spoken | OpaquePart) or _chunk(part)))
        if any(isinstance(part, OpaquePart) or part.cache_hint is not None for part in parts):
            return self._content(tuple(part for part in parts if isinstance(part, spoken | OpaquePart))) or None
        return "".join(texts) if texts else None

    def _tool_result(self, part: ToolResultPart) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": part.tool_call_id, "content": self._content(part.content)}

    def _content(self, parts: tuple[Part, ...]) -> str | list[dict[str, Any]]:
        if len(parts) == 1 and isinstance(parts[0], TextPart) and parts[0].cache_hint is None:
            return parts[0].text
        encoded = [fields for part in parts if (fields := self._part(part)) is not None]
        if len(encoded) == 1 and encoded[0].keys() == {"type", "text"}:
            # Every server takes a plain text, and some nothing else.
            return str(encoded[0]["text"])
        return encoded or ""

    def _part(self, part: Part) -> dict[str, Any] | None:
        fields = self._unmarked_part(part)
        if fields is not None and part.cache_hint is not None:
            fields |= cache_mark(part.cache_hint, self._quirks.cache_hints)
        return fields

    def _unmarked_part(self, part: Part) -> dict[str, Any] | None:
        if isinstance(part, TextPart | RefusalPart):
            return {"type": "text", "text": part.text}
        if isinstance(part, MediaPart):
            return content_part(part, self._quirks.media)
        if isinstance(part, OpaquePart):
            return {"type": part.type, **whole_numbers(part.value)}
        return _chunk(part)


def _chunk(part: Part) -> dict[str, Any] | None:
    return thinking_chunks.chunk_of(part) if isinstance(part, ReasoningPart) else None


def _tool_call(part: ToolCallPart) -> dict[str, Any]:
    if part.continuity_token == CUSTOM_CALL:
        return {"id": part.id, "type": "custom", "custom": {"name": part.name, "input": part.arguments_json}}
    function = {"name": part.name, "arguments": part.arguments_json}
    return {"id": part.id, "type": "function", "function": function}
