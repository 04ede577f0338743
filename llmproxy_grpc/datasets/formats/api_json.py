"""Values in the JSON of the API's protobuf, with the names of its fields; what is unset is left out."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, Final

from msgspec.structs import asdict

from llmproxy_grpc.messages import (
    CacheHint,
    MediaPart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

Fields = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS: Final = 1_000_000


def message_json(message: Message) -> Fields:
    """A message."""
    parts = [_part(part) for part in message.parts]
    return filled(role=enum_json("ROLE", message.role), parts=parts, name=message.name)


def filled(**fields: Any) -> Fields:
    """The fields that are set: neither None nor the zero of their type."""
    return {name: value for name, value in fields.items() if value}


def given(**fields: Any) -> Fields:
    """The fields that are not None, and no empty sequence: for optional scalars, whose zero is a value."""
    return {name: value for name, value in fields.items() if value is not None and value != ()}


def enum_json(prefix: str, member: IntEnum) -> str:
    """A member by its name in the API; empty if it is the unspecified one."""
    return f"{prefix}_{member.name}" if member else ""


def time_json(micros: int) -> str:
    """A time in UTC; empty if it is not known."""
    if not micros:
        return ""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def duration_json(micros: int | None) -> str:
    """A duration; empty if it is not known."""
    if micros is None:
        return ""
    seconds, rest = divmod(micros, _MICROS)
    return f"{seconds}.{rest:06}s"


def bytes_json(data: bytes) -> str:
    """Bytes."""
    return b64encode(data).decode("ascii")


def _part(part: Part) -> Fields:
    fields = _content(part)
    if part.citations:
        fields["citations"] = [filled(**asdict(citation)) for citation in part.citations]
    if part.continuity_token:
        fields["continuity_token"] = bytes_json(part.continuity_token)
    if part.cache_hint is not None:
        fields["cache_hint"] = _cache_hint(part.cache_hint)
    return fields


def _content(part: Part) -> Fields:
    fields: Fields = {}
    match part:
        case TextPart(text=text):
            fields = {"text": text}
        case RefusalPart(text=text):
            fields = {"refusal": text}
        case MediaPart(kind=kind):
            fields = {kind.name.lower(): _media(part)}
        case ToolCallPart(id=call_id, name=name, arguments_json=arguments):
            fields = {"tool_call": filled(id=call_id, name=name, arguments_json=arguments)}
        case ToolResultPart():
            fields = {"tool_result": _result(part)}
        case ReasoningPart(text=text, redacted=redacted, summary=summary):
            fields = {"reasoning": filled(text=text, redacted=redacted, summary=summary)}
        case OpaquePart(provider_kind=kind, type=name, value=value):
            fields = {"opaque": {"provider_kind": kind, "type": name, "value": value}}
    return fields


def _result(part: ToolResultPart) -> Fields:
    content = [_part(each) for each in part.content]
    return filled(tool_call_id=part.tool_call_id, name=part.name, content=content, is_error=part.is_error)


def _media(part: MediaPart) -> Fields:
    source = given(data=None if part.data is None else bytes_json(part.data), uri=part.uri, file_id=part.file_id)
    described = filled(
        media_type=part.media_type, filename=part.filename, detail=enum_json("MEDIA_DETAIL", part.detail)
    )
    return source | described


def _cache_hint(hint: CacheHint) -> Fields:
    return {} if hint.ttl is None else {"ttl": duration_json(round(hint.ttl * _MICROS))}
