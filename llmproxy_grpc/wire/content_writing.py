"""Messages and their parts, to protobuf."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

from llmproxy_grpc._gen.v1 import content_pb2 as pb
from llmproxy_grpc.messages import (
    CacheHint,
    Citation,
    MediaPart,
    Message,
    OpaquePart,
    Part,
    ReasoningDelta,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.wire.scalars import count, fill_duration, number
from llmproxy_grpc.wire.structs import fill_struct


def fill_message(target: pb.Message, message: Message) -> None:
    """Writes a turn in place, which saves a copy of it."""
    target.role = number(message.role)
    if message.name:
        target.name = message.name
    parts = target.parts
    for part in message.parts:
        fill_part(parts.add(), part)


def fill_part(target: pb.ContentPart, part: Part) -> None:
    """Writes a piece of content in place."""
    if type(part) is TextPart:
        target.text = part.text
    else:
        _WRITERS[type(part)](target, part)
    if part.citations:
        fill_citations(target.citations, part.citations)
    if part.continuity_token:
        target.continuity_token = part.continuity_token
    if part.cache_hint is not None:
        _fill_cache_hint(target.cache_hint, part.cache_hint)


def fill_citations(target: "RepeatedCompositeFieldContainer[pb.Citation]", citations: Iterable[Citation]) -> None:
    """Appends sources."""
    for citation in citations:
        target.add(
            uri=citation.uri,
            title=citation.title,
            start_offset=count(citation.start_offset),
            end_offset=count(citation.end_offset),
            quoted_text=citation.quoted_text,
        )


def fill_reasoning(target: pb.Reasoning, thinking: ReasoningPart | ReasoningDelta) -> None:
    """Writes thinking, whole or a piece of it."""
    target.SetInParent()
    target.text = thinking.text
    target.redacted = thinking.redacted
    target.summary = thinking.summary


def _fill_cache_hint(target: pb.CacheHint, hint: CacheHint) -> None:
    target.SetInParent()
    if hint.ttl is not None:
        target.ttl.SetInParent()
        fill_duration(target.ttl, hint.ttl)


def _fill_media(target: pb.ContentPart, part: MediaPart) -> None:
    media: pb.Media = getattr(target, part.kind.name.lower())
    media.SetInParent()
    if part.data is not None:
        media.data = part.data
    elif part.uri is not None:
        media.uri = part.uri
    elif part.file_id is not None:
        media.file_id = part.file_id
    media.media_type = part.media_type
    media.filename = part.filename
    media.detail = number(part.detail)


def _fill_tool_call(target: pb.ContentPart, part: ToolCallPart) -> None:
    call = target.tool_call
    call.SetInParent()
    call.id = part.id
    call.name = part.name
    call.arguments_json = part.arguments_json


def _fill_tool_result(target: pb.ContentPart, part: ToolResultPart) -> None:
    result = target.tool_result
    result.SetInParent()
    result.tool_call_id = part.tool_call_id
    result.name = part.name
    result.is_error = part.is_error
    for item in part.content:
        fill_part(result.content.add(), item)


def _fill_reasoning(target: pb.ContentPart, part: ReasoningPart) -> None:
    fill_reasoning(target.reasoning, part)


def _fill_refusal(target: pb.ContentPart, part: RefusalPart) -> None:
    target.refusal = part.text


def _fill_opaque(target: pb.ContentPart, part: OpaquePart) -> None:
    target.opaque.provider_kind = part.provider_kind
    target.opaque.type = part.type
    fill_struct(target.opaque.value, part.value)


_WRITERS: Mapping[type[Part], Callable[[pb.ContentPart, Any], None]] = {
    MediaPart: _fill_media,
    ToolCallPart: _fill_tool_call,
    ToolResultPart: _fill_tool_result,
    ReasoningPart: _fill_reasoning,
    RefusalPart: _fill_refusal,
    OpaquePart: _fill_opaque,
}
