"""The conversation so far as `systemInstruction` and `contents` of a request."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Raw

from llmproxy_grpc.messages import (
    MediaDetail,
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
from llmproxy_grpc.messages.objects import is_object
from llmproxy_grpc.providers.generate_content.generations import Generation
from llmproxy_grpc.providers.generate_content.media_types import type_told_by
from llmproxy_grpc.providers.instructions import INSTRUCTIONS
from llmproxy_grpc.providers.media import base64_of
from llmproxy_grpc.providers.options import whole_numbers
from llmproxy_grpc.providers.result_order import with_results_in_order
from llmproxy_grpc.providers.tool_arguments import as_object

Fields = dict[str, Any]

OUR_ID: Final = "call_gemini_"
"""Begins the ids that the proxy makes for calls without one; they mean nothing to the provider."""
ANY_SIGNATURE: Final = "skip_thought_signature_validator"
"""Google's own stand-in on calls that other models made: without a signature Gemini 3 answers 400."""
WHOLE_PART: Final = "part"
"""The type of an opaque part whose value is all of a part's fields rather than the one that names it."""

_FILES = "https://generativelanguage.googleapis.com/v1beta/"
_LEVELS = {MediaDetail.LOW: "MEDIA_RESOLUTION_LOW", MediaDetail.HIGH: "MEDIA_RESOLUTION_HIGH"}


class History:
    """Encodes messages for one model.

    Args:
        messages: The whole conversation: results are known by the names of the calls before them.
        generation: What the model can do.
        vertex: Whether it is at Vertex AI, which knows no ids of calls: it answers 400 to them.
    """

    def __init__(self, messages: Iterable[Message], generation: Generation, *, vertex: bool) -> None:
        self._messages = tuple(with_results_in_order(messages))
        self._generation = generation
        self._vertex = vertex
        self._names: dict[str, str] = {}

    def system(self) -> list[Fields]:
        """The instructions, which stand outside the conversation on this wire, wherever in it they came."""
        return [fields for message in self._messages if message.role in INSTRUCTIONS for fields in self._parts(message)]

    def contents(self) -> list[Fields]:
        """The turns; neighbours of one role are one turn."""
        turns: list[Fields] = []
        for message in self._messages:
            if message.role in INSTRUCTIONS:
                continue
            role = "model" if message.role is Role.ASSISTANT else "user"
            parts = list(self._parts(message))
            if not parts:
                continue
            if turns and turns[-1]["role"] == role:
                turns[-1]["parts"] += parts
            else:
                turns.append({"role": role, "parts": parts})
        return turns

    def _parts(self, message: Message) -> Iterator[Fields]:
        missing = self._generation.signatures
        for part in message.parts:
            fields = self._part(part)
            if fields is None:
                continue
            if part.continuity_token:
                fields["thoughtSignature"] = part.continuity_token.decode("utf-8", "replace")
            elif missing and isinstance(part, ToolCallPart):
                fields["thoughtSignature"] = ANY_SIGNATURE
            if isinstance(part, ToolCallPart):
                missing = False  # of parallel calls the first alone has one
            yield fields

    def _part(self, part: Part) -> Fields | None:
        fields: Fields | None = None
        match part:
            case TextPart(text=text) | RefusalPart(text=text):
                fields = {"text": text} if text or part.continuity_token else None
            case MediaPart():
                fields = media(part)
                if part.detail:
                    fields["mediaResolution"] = {"level": _LEVELS[part.detail]}
            case ToolCallPart():
                self._names[part.id] = part.name
                call = {"name": part.name, "args": as_object(part.arguments_json)}
                fields = {"functionCall": self._with_id(call, part.id)}
            case ToolResultPart():
                fields = {"functionResponse": self._response(part)}
            case ReasoningPart(text=text):
                # Without its signature the thinking of an earlier turn is of no use.
                fields = {"text": text, "thought": True} if part.continuity_token else None
            case OpaquePart():
                value = whole_numbers(part.value)
                fields = value if part.type == WHOLE_PART else {part.type: value}
        return fields

    def _response(self, part: ToolResultPart) -> Fields:
        # The name has to be the call's: what the application calls it counts where the call is not to be seen.
        name = self._names.get(part.tool_call_id) or part.name
        response = self._with_id({"name": name, "response": _result(part)}, part.tool_call_id)
        pictures = [media(each) for each in part.content if isinstance(each, MediaPart)]
        if pictures:
            response["parts"] = pictures
        return response

    def _with_id(self, fields: Fields, call_id: str) -> Fields:
        if call_id and not self._vertex and not call_id.startswith(OUR_ID):
            fields["id"] = call_id
        return fields


def media(part: MediaPart) -> Fields:
    """A piece of media as a part."""
    named = {"displayName": part.filename} if part.filename else {}
    if part.data is not None:
        return {"inlineData": {"mimeType": part.media_type, "data": base64_of(part), **named}}
    # Vertex AI demands the type; where the caller leaves it out, most addresses tell it.
    media_type = part.media_type or type_told_by(part.uri or "")
    typed = {"mimeType": media_type} if media_type else {}
    return {"fileData": {"fileUri": _address(part), **typed, **named}}


def _address(part: MediaPart) -> str:
    if part.uri is not None:
        return part.uri
    return f"{_FILES}files/{(part.file_id or '').removeprefix('files/')}"


def _result(part: ToolResultPart) -> Raw | Fields:
    """The result, which has to be an object: text that is one passes to the byte, any other becomes a field of one."""
    text = "".join(each.text for each in part.content if isinstance(each, TextPart))
    if part.is_error:
        return {"error": text}
    data = text.encode("utf-8", "replace")
    return Raw(data) if is_object(data) else {"result": text}
