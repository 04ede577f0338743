"""The conversation so far as the `messages` of a request."""

from collections.abc import Collection
from typing import Any

from llmproxy_grpc.messages import (
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
from llmproxy_grpc.providers.chat_completions.media import content_part, objection
from llmproxy_grpc.providers.chat_completions.options import whole_numbers
from llmproxy_grpc.providers.chat_completions.quirks import Quirks

CUSTOM_CALL = b"custom"
"""Continuity token of a call to a custom tool, whose input is free text: it goes back in its own shape."""


class History:
    """Encodes messages for one vendor.

    What has no place on this wire is left out: the thinking (unless the vendor takes it back), citations, and a tool
    result's error flag, which the result's text has to tell.
    """

    def __init__(self, quirks: Quirks, provider_kinds: Collection[str]) -> None:
        self._quirks = quirks
        self._provider_kinds = provider_kinds
        self._roles = {
            Role.SYSTEM: "system",
            Role.DEVELOPER: "developer" if quirks.developer_role else "system",
            Role.USER: "user",
        }

    def encode(self, messages: tuple[Message, ...]) -> list[dict[str, Any]]:
        """Encodes a conversation; a message with several tool results becomes several messages."""
        encoded: list[dict[str, Any]] = []
        for message in messages:
            if message.role is Role.TOOL:
                encoded += [self._tool_result(part) for part in message.parts if isinstance(part, ToolResultPart)]
                continue
            if message.role is Role.ASSISTANT:
                fields = self._assistant(message)
            else:
                fields = {"role": self._roles[message.role], "content": self._content(message.parts)}
            if message.name and self._quirks.message_name:
                fields["name"] = message.name
            encoded.append(fields)
        return encoded

    def _tool_result(self, part: ToolResultPart) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": part.tool_call_id, "content": self._content(part.content, media=False)}

    def _content(self, parts: tuple[Part, ...], *, media: bool = True) -> str | list[dict[str, Any]]:
        if len(parts) == 1 and isinstance(parts[0], TextPart) and not self._is_marked(parts[0]):
            return parts[0].text
        encoded = [fields for part in parts if (fields := self._part(part, media=media)) is not None]
        if len(encoded) == 1 and encoded[0].keys() == {"type", "text"}:
            # Every server takes a plain text, and some nothing else.
            return str(encoded[0]["text"])
        return encoded or ""

    def _part(self, part: Part, *, media: bool) -> dict[str, Any] | None:
        fields = self._unmarked_part(part, media=media)
        if fields is not None and self._is_marked(part):
            fields["cache_control"] = _cache_control(part)
        return fields

    def _unmarked_part(self, part: Part, *, media: bool) -> dict[str, Any] | None:
        if isinstance(part, TextPart):
            return {"type": "text", "text": part.text}
        if isinstance(part, MediaPart) and media and not objection(part, self._quirks):
            return content_part(part)
        if isinstance(part, OpaquePart) and part.provider_kind in self._provider_kinds:
            return {"type": part.type, **whole_numbers(part.value)}
        return None

    def _is_marked(self, part: Part) -> bool:
        return part.cache_hint is not None and self._quirks.cache_control

    def _assistant(self, message: Message) -> dict[str, Any]:
        parts = message.parts
        fields: dict[str, Any] = {"role": "assistant", "content": self._assistant_content(parts)}
        calls = [_tool_call(part) for part in parts if isinstance(part, ToolCallPart)]
        if calls:
            fields["tool_calls"] = calls
        refusal = "".join(part.text for part in parts if isinstance(part, RefusalPart))
        if refusal:
            fields["refusal"] = refusal
        if self._quirks.reasoning_replay:
            thinking = "".join(part.text for part in parts if isinstance(part, ReasoningPart))
            if thinking:
                fields[self._quirks.reasoning_replay] = thinking
        return fields

    def _assistant_content(self, parts: tuple[Part, ...]) -> str | list[dict[str, Any]] | None:
        # What the model said was one text on this wire: several parts are only where thinking or calls came between.
        texts = [part for part in parts if isinstance(part, TextPart)]
        if any(isinstance(part, OpaquePart) or self._is_marked(part) for part in parts):
            return self._content(tuple(part for part in parts if isinstance(part, TextPart | OpaquePart))) or None
        return "".join(part.text for part in texts) if texts else None


def _tool_call(part: ToolCallPart) -> dict[str, Any]:
    if part.continuity_token == CUSTOM_CALL:
        return {"id": part.id, "type": "custom", "custom": {"name": part.name, "input": part.arguments_json}}
    function = {"name": part.name, "arguments": part.arguments_json}
    return {"id": part.id, "type": "function", "function": function}


def _cache_control(part: Part) -> dict[str, str]:
    control = {"type": "ephemeral"}
    if part.cache_hint is not None and part.cache_hint.ttl is not None:
        control["ttl"] = "1h" if part.cache_hint.ttl > 300 else "5m"
    return control
