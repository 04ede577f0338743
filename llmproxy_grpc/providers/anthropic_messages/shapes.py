"""The JSON that comes back, as far as it matters: liberal shapes, in which almost anything may be missing."""

from typing import Any, Generic, TypeVar

from msgspec import Raw, Struct
from msgspec.json import Decoder

Input = TypeVar("Input")
_NO_INPUT: Any = Raw(b"{}")


class Block(Struct, Generic[Input], gc=False):
    """A block of content, whole or as it begins; `input` keeps the bytes in which it came where that is possible."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: Any = None
    name: str | None = None
    input: Input = _NO_INPUT
    citations: Any = None
    caller: Any = None
    toolset_name: Any = None


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
    context_management: Any = None
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

    model: Any = None
    usage: Any = None


class Event(Struct, Generic[Input], gc=False):
    """One event of a stream."""

    type: str = ""
    index: int = 0
    message: Started | None = None
    content_block: Block[Input] | None = None
    delta: Delta | None = None
    context_management: Any = None
    usage: Any = None
    error: Any = None


class Counted(Struct, gc=False):
    """The tokens of a prompt."""

    input_tokens: Any


ANSWER = Decoder(Answer)
BLOCK: Decoder[Block[Raw]] = Decoder(Block[Raw])
EVENT: Decoder[Event[Raw]] = Decoder(Event[Raw])
LIBERAL_EVENT: Decoder[Event[Any]] = Decoder(Event[Any])
"""For events with half a character in them, which have to be read by other means."""
COUNTED = Decoder(Counted)
OBJECT: Decoder[dict[str, Any]] = Decoder(dict[str, Any])
