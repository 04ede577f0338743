"""The conversation so far as the `input` of a request: items in their order."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

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
from llmproxy_grpc.providers.call_ids import with_ids
from llmproxy_grpc.providers.chat_completions.caching import cache_mark
from llmproxy_grpc.providers.chat_completions.quirks import Quirks, ids_of
from llmproxy_grpc.providers.continuity import fields_of
from llmproxy_grpc.providers.document_names import filename_of
from llmproxy_grpc.providers.media import url_of
from llmproxy_grpc.providers.options import whole_numbers
from llmproxy_grpc.providers.responses_api.continuity import CUSTOM_CALL, SIGNATURE, thinking_item

Item = dict[str, Any]

_DETAILS: Mapping[MediaDetail, str] = {MediaDetail.LOW: "low", MediaDetail.HIGH: "high"}


class History:
    """Encodes messages for one vendor.

    What has no place on this wire is left out: thinking that nobody can read again, citations, and a tool result's
    error flag, which the result's text has to tell. Items go without their ids, which only a store could resolve.
    """

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._ids = ids_of(quirks)
        self._roles = {
            Role.SYSTEM: "system",
            Role.DEVELOPER: "developer" if quirks.developer_role else "system",
            Role.USER: "user",
        }

    def encode(self, messages: Iterable[Message]) -> list[Item]:
        """Encodes a conversation."""
        items: list[Item] = []
        calls: dict[str, Item] = {}
        given = messages if self._ids is None else with_ids(messages, self._ids)
        for role, turn in groupby(given, attrgetter("role")):
            if role is Role.ASSISTANT:
                said = list(_with_consequence(item for message in turn for item in self._said(message.parts)))
                calls |= {item["call_id"]: item for item in said if "call_id" in item and "name" in item}
                items += said
            elif role is Role.TOOL:
                results = (part for message in turn for part in message.parts if isinstance(part, ToolResultPart))
                items += [self._result(part, calls) for part in results]
            else:
                items += [item for message in turn for item in self._asked(message)]
        return items

    def _asked(self, message: Message) -> Iterator[Item]:
        content = [item for part in message.parts if (item := self._content(part)) is not None]
        if len(content) == 1 and content[0].keys() == {"type", "text"}:
            # Every server takes a plain text, and some nothing else.
            yield {"type": "message", "role": self._roles[message.role], "content": content[0]["text"]}
        elif content or not message.parts:
            yield {"type": "message", "role": self._roles[message.role], "content": content or ""}
        yield from (_opaque(part) for part in message.parts if isinstance(part, OpaquePart))

    def _said(self, parts: Iterable[Part]) -> Iterator[Item]:
        """The items of an answer; neighbouring texts are one message."""
        for token, group in groupby(parts, _speech):
            if token is not None:
                yield from self._message(group, fields_of(token))
                continue
            for part in group:
                if isinstance(part, ToolCallPart):
                    yield _call(part)
                elif isinstance(part, OpaquePart):
                    yield _opaque(part)
                elif isinstance(part, ReasoningPart) and (thinking := thinking_item(part.continuity_token)) is not None:
                    yield thinking

    def _message(self, parts: Iterable[Part], fields: Item) -> Iterator[Item]:
        content = [item for part in parts if (item := self._spoken(part)) is not None]
        texts = [item["text"] for item in content if item["type"] == "output_text"]
        # Where refusals are texts, a plain text is what every server takes, and some nothing else.
        if texts and len(texts) == len(content) and (len(texts) == 1 or not self._quirks.refusals):
            yield {"type": "message", "role": "assistant", "content": "".join(texts), **fields}
        elif content:
            yield {"type": "message", "role": "assistant", "content": content, **fields}

    def _spoken(self, part: Part) -> Item | None:
        if isinstance(part, RefusalPart):
            return {"type": "refusal", "refusal": part.text} if self._quirks.refusals else _text(part.text)
        return _text(part.text) if isinstance(part, TextPart) and part.text else None

    def _result(self, part: ToolResultPart, calls: Mapping[str, Item]) -> Item:
        call = calls.get(part.tool_call_id, {})
        kind = "custom_tool_call_output" if call.get("type") == CUSTOM_CALL else "function_call_output"
        content = [item for each in part.content if (item := self._content(each)) is not None]
        texts = [item["text"] for item in content if item.keys() == {"type", "text"}]
        output = "".join(texts) if len(texts) == len(content) else content
        told = ("name", SIGNATURE) if SIGNATURE in call else ("caller",)
        told_again = {name: call[name] for name in told if name in call}
        return {"type": kind, "call_id": part.tool_call_id, "output": output, **told_again}

    def _content(self, part: Part) -> Item | None:
        if isinstance(part, TextPart):
            item: Item = {"type": "input_text", "text": part.text}
        elif isinstance(part, MediaPart):
            item = _media(part)
        else:
            return None
        return item if part.cache_hint is None else item | cache_mark(part.cache_hint, self._quirks.cache_hints)


def _with_consequence(items: Iterable[Item]) -> Iterator[Item]:
    """The items of a turn without thinking that led to nothing, as where it was cut: the API refuses it alone."""
    held: list[Item] = []
    for item in items:
        held.append(item)
        if item["type"] != "reasoning":
            yield from held
            held = []


def _speech(part: Part) -> bytes | None:
    """What a text says of its message besides the text; None for what is no text."""
    return part.continuity_token if isinstance(part, TextPart | RefusalPart) else None


def _text(text: str) -> Item:
    return {"type": "output_text", "text": text}


def _call(part: ToolCallPart) -> Item:
    fields = fields_of(part.continuity_token)
    text = "input" if fields.get("type") == CUSTOM_CALL else "arguments"
    return {"type": "function_call", **fields, "call_id": part.id, "name": part.name, text: part.arguments_json}


def _media(part: MediaPart) -> Item:
    picture = part.kind is MediaKind.IMAGE
    item: Item = {"type": "input_image" if picture else "input_file"}
    if part.file_id is not None:
        item["file_id"] = part.file_id
    elif picture:
        item["image_url"] = url_of(part)
    elif part.uri is not None:
        item["file_url"] = part.uri
    else:
        item |= {"filename": filename_of(part), "file_data": url_of(part)}
    if picture and part.detail:
        item["detail"] = _DETAILS[part.detail]
    return item


def _opaque(part: OpaquePart) -> Item:
    return {"type": part.type, **whole_numbers(part.value)}
