"""The conversation so far as the `input` of a request: items in their order."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from llmproxy_grpc.messages import (
    MediaDetail,
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
from llmproxy_grpc.providers.media import base64_of, media_type, url_of
from llmproxy_grpc.providers.options import whole_numbers
from llmproxy_grpc.providers.responses_api.features import AUDIO_FORMATS
from llmproxy_grpc.providers.responses_api.reasoning import reasoning_item

Item = dict[str, Any]

CUSTOM_CALL: Final = b"custom"
"""Continuity token of a call to a custom tool, whose input is free text: it goes back in its own shape."""
_ROLES: Mapping[Role, str] = {Role.SYSTEM: "system", Role.DEVELOPER: "developer", Role.USER: "user"}
_DETAILS: Mapping[MediaDetail, str] = {MediaDetail.LOW: "low", MediaDetail.HIGH: "high"}


def encode_input(messages: Iterable[Message]) -> list[Item]:
    """Encodes a conversation."""
    items: list[Item] = []
    custom: set[str] = set()
    for message in messages:
        if message.role is Role.ASSISTANT:
            calls = (part for part in message.parts if isinstance(part, ToolCallPart))
            custom |= {call.id for call in calls if call.continuity_token == CUSTOM_CALL}
            items += _said(message.parts)
        elif message.role is Role.TOOL:
            items += [_result(part, custom) for part in message.parts if isinstance(part, ToolResultPart)]
        else:
            items += _asked(message)
    return items


def _asked(message: Message) -> Iterator[Item]:
    content = [item for part in message.parts if (item := _content(part)) is not None]
    if len(content) == 1 and content[0]["type"] == "input_text":
        yield {"role": _ROLES[message.role], "content": content[0]["text"]}
    elif content or not message.parts:
        yield {"role": _ROLES[message.role], "content": content or ""}
    yield from (_opaque(part) for part in message.parts if isinstance(part, OpaquePart))


def _said(parts: Iterable[Part]) -> Iterator[Item]:
    for part in parts:
        match part:
            case TextPart(text=text):
                if text:
                    yield _assistant({"type": "output_text", "text": text})
            case RefusalPart(text=text):
                yield _assistant({"type": "refusal", "refusal": text})
            case ToolCallPart():
                yield _call(part)
            case ReasoningPart():
                thinking = reasoning_item(part.continuity_token)
                if thinking is not None:
                    yield thinking
            case OpaquePart():
                yield _opaque(part)
            case _:
                pass


def _assistant(content: Item) -> Item:
    return {"type": "message", "role": "assistant", "content": [content]}


def _call(part: ToolCallPart) -> Item:
    if part.continuity_token == CUSTOM_CALL:
        return {"type": "custom_tool_call", "call_id": part.id, "name": part.name, "input": part.arguments_json}
    return {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments_json}


def _result(part: ToolResultPart, custom: set[str]) -> Item:
    kind = "custom_tool_call_output" if part.tool_call_id in custom else "function_call_output"
    if all(isinstance(each, TextPart) for each in part.content):
        output: str | list[Item] = "".join(each.text for each in part.content if isinstance(each, TextPart))
    else:
        output = [item for each in part.content if (item := _content(each)) is not None]
    return {"type": kind, "call_id": part.tool_call_id, "output": output}


def _content(part: Part) -> Item | None:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    return _media(part) if isinstance(part, MediaPart) else None


def _media(part: MediaPart) -> Item:
    if part.kind is MediaKind.AUDIO:
        return {
            "type": "input_audio",
            "input_audio": {"data": base64_of(part), "format": AUDIO_FORMATS[media_type(part)]},
        }
    picture = part.kind is MediaKind.IMAGE
    item: Item = {"type": "input_image" if picture else "input_file"}
    if part.file_id is not None:
        item["file_id"] = part.file_id
    elif picture:
        item["image_url"] = url_of(part)
    elif part.uri is not None:
        item["file_url"] = part.uri
    else:
        item |= {"file_data": url_of(part), "filename": part.filename or "document"}
    if part.detail and picture:
        item["detail"] = _DETAILS[part.detail]
    return item


def _opaque(part: OpaquePart) -> Item:
    return {"type": part.type, **whole_numbers(part.value)}
