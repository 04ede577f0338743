"""Messages and their parts, from protobuf."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from llmproxy_grpc._gen.v1 import content_pb2 as pb
from llmproxy_grpc.messages import (
    CacheHint,
    Citation,
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
from llmproxy_grpc.wire.scalars import to_seconds
from llmproxy_grpc.wire.structs import to_json

_ROLES = {role.value: role for role in Role}
_DETAILS = {detail.value: detail for detail in MediaDetail}


def to_message(message: pb.Message) -> Message:
    """Gives a turn; an unknown role, which validation refuses, counts as the user."""
    return Message(_ROLES.get(message.role, Role.USER), _to_parts(message.parts), message.name)


def to_part(part: pb.ContentPart) -> Part:
    """Gives a piece of content; one without any, which validation refuses, is an empty text."""
    kind = part.WhichOneof("part")
    if kind == "text" or kind is None:
        content: Part = TextPart(text=part.text)
    else:
        content = _READERS[kind](getattr(part, kind))
    if part.continuity_token or part.HasField("cache_hint") or part.citations:
        return _with_extras(content, part)
    return content


def to_citations(citations: Iterable[pb.Citation]) -> tuple[Citation, ...]:
    """Gives sources."""
    return tuple(
        [Citation(each.uri, each.title, each.start_offset, each.end_offset, each.quoted_text) for each in citations]
    )


def _to_parts(parts: Iterable[pb.ContentPart]) -> tuple[Part, ...]:
    return tuple([to_part(part) for part in parts])


def _with_extras(content: Part, part: pb.ContentPart) -> Part:
    return replace(
        content,
        citations=to_citations(part.citations),
        continuity_token=part.continuity_token,
        cache_hint=_to_cache_hint(part.cache_hint) if part.HasField("cache_hint") else None,
    )


def _to_cache_hint(hint: pb.CacheHint) -> CacheHint:
    return CacheHint(to_seconds(hint.ttl) if hint.HasField("ttl") else None)


def _media_reader(kind: MediaKind) -> Callable[[pb.Media], Part]:
    def read(media: pb.Media) -> Part:
        source = media.WhichOneof("source")
        return MediaPart(
            kind=kind,
            data=media.data if source == "data" else None,
            uri=media.uri if source == "uri" else None,
            file_id=media.file_id if source == "file_id" else None,
            media_type=media.media_type,
            filename=media.filename,
            detail=_DETAILS.get(media.detail, MediaDetail.UNSPECIFIED),
        )

    return read


def _to_tool_call(call: pb.ToolCall) -> Part:
    return ToolCallPart(id=call.id, name=call.name, arguments_json=call.arguments_json)


def _to_tool_result(result: pb.ToolResult) -> Part:
    return ToolResultPart(
        tool_call_id=result.tool_call_id,
        name=result.name,
        content=_to_parts(result.content),
        is_error=result.is_error,
    )


def _to_reasoning(reasoning: pb.Reasoning) -> Part:
    return ReasoningPart(text=reasoning.text, redacted=reasoning.redacted, summary=reasoning.summary)


def _to_refusal(text: str) -> Part:
    return RefusalPart(text=text)


def _to_opaque(opaque: pb.OpaquePart) -> Part:
    return OpaquePart(provider_kind=opaque.provider_kind, type=opaque.type, value=to_json(opaque.value))


_READERS: Mapping[str, Callable[[Any], Part]] = {
    "image": _media_reader(MediaKind.IMAGE),
    "audio": _media_reader(MediaKind.AUDIO),
    "video": _media_reader(MediaKind.VIDEO),
    "document": _media_reader(MediaKind.DOCUMENT),
    "tool_call": _to_tool_call,
    "tool_result": _to_tool_result,
    "reasoning": _to_reasoning,
    "refusal": _to_refusal,
    "opaque": _to_opaque,
}
