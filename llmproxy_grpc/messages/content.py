"""What a conversation is made of: messages and their ordered parts."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from llmproxy_grpc.messages.enumerations import MediaDetail, MediaKind, Role

JsonObject = Mapping[str, Any]


class Citation(Struct, frozen=True):
    """A source that the model names; offsets are Unicode code points in the part's text."""

    uri: str = ""
    title: str = ""
    start_offset: int = 0
    end_offset: int = 0
    quoted_text: str = ""


class CacheHint(Struct, frozen=True):
    """Asks the provider to cache the prompt up to here; `ttl` in seconds, None for the provider's default."""

    ttl: float | None = None


class Part(Struct, frozen=True, kw_only=True):
    """What every piece of content may carry besides itself."""

    citations: tuple[Citation, ...] = ()
    continuity_token: bytes = b""
    cache_hint: CacheHint | None = None


class TextPart(Part, frozen=True):
    """Plain text."""

    text: str


class MediaPart(Part, frozen=True):
    """A picture, sound, video or document: exactly one of `data`, `uri` and `file_id` is set."""

    kind: MediaKind
    data: bytes | None = None
    uri: str | None = None
    file_id: str | None = None
    media_type: str = ""
    filename: str = ""
    detail: MediaDetail = MediaDetail.UNSPECIFIED

    @property
    def plain_type(self) -> str:
        """The media type in lower case, without its parameters; empty if there is none."""
        return self.media_type.partition(";")[0].strip().lower()


class ToolCallPart(Part, frozen=True):
    """A call that the model asks for; `arguments_json` is exactly the text that the model produced."""

    id: str
    name: str
    arguments_json: str


class ToolResultPart(Part, frozen=True):
    """The application's answer to a tool call."""

    tool_call_id: str
    name: str = ""
    content: tuple[Part, ...] = ()
    is_error: bool = False


class ReasoningPart(Part, frozen=True):
    """The model's thinking, as far as the provider shows it."""

    text: str = ""
    redacted: bool = False
    summary: bool = False


class RefusalPart(Part, frozen=True):
    """The model's refusal, in its own words."""

    text: str


class OpaquePart(Part, frozen=True):
    """A provider's block that the API does not model."""

    provider_kind: str
    type: str
    value: JsonObject


class Message(Struct, frozen=True):
    """One turn."""

    role: Role
    parts: tuple[Part, ...]
    name: str = ""
