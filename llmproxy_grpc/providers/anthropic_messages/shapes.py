"""The JSON that comes back, as far as it matters: liberal shapes, in which almost anything may be missing."""

from typing import Any

from msgspec import Raw, Struct
from msgspec.json import Decoder


class Block(Struct, gc=False):
    """A block of content, whole; `input` keeps the bytes in which it came."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: Any = None
    name: str | None = None
    input: Raw = Raw(b"{}")
    citations: Any = None


class Answer(Struct, gc=False):
    """A whole answer, or an error."""

    type: str | None = None
    id: Any = None
    model: Any = None
    content: list[Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None
    container: Any = None
    usage: Any = None
    error: Any = None


class Delta(Struct, gc=False):
    """More of a block, or of the message."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None
    container: Any = None


class Started(Struct, gc=False):
    """The message as it begins."""

    id: Any = None
    model: Any = None
    usage: Any = None


class Event(Struct, gc=False):
    """One event of a stream."""

    type: str = ""
    index: int | None = None
    message: Started | None = None
    content_block: dict[str, Any] | None = None
    delta: Delta | None = None
    usage: Any = None
    error: Any = None


class Counted(Struct, gc=False):
    """The tokens of a prompt."""

    input_tokens: int


ANSWER = Decoder(Answer)
BLOCK = Decoder(Block)
EVENT = Decoder(Event)
COUNTED = Decoder(Counted)
OPAQUE: Decoder[dict[str, Any]] = Decoder(dict[str, Any])
