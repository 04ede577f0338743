"""The JSON that comes back, as far as it matters: liberal shapes, in which almost anything may be missing."""

from typing import Any

from msgspec import Raw, Struct
from msgspec.json import Decoder


class ToolUse(Struct, gc=False):
    """A call, whole; `input` keeps the bytes in which it came."""

    toolUseId: Any = None  # noqa: N815 - their names
    name: str | None = None
    input: Raw = Raw(b"{}")
    type: Any = None
    """`server_tool_use` if Bedrock runs the tool itself."""


class ReasoningText(Struct, gc=False):
    """Thinking, and its signature."""

    text: str | None = None
    signature: str | None = None


class Reasoning(Struct, gc=False):
    """Thinking, shown or hidden."""

    reasoningText: ReasoningText | None = None  # noqa: N815
    redactedContent: str | None = None  # noqa: N815


class Source(Struct, gc=False):
    """Where the bytes of a picture are, if they are here."""

    bytes: str | None = None


class Picture(Struct, gc=False):
    """A picture, or a piece of one."""

    format: str | None = None
    source: Source | None = None


class Block(Struct, gc=False):
    """A block of content, whole; one of its fields is set."""

    text: str | None = None
    toolUse: ToolUse | None = None  # noqa: N815
    reasoningContent: Reasoning | None = None  # noqa: N815
    citationsContent: dict[str, Any] | None = None  # noqa: N815
    image: Picture | None = None


class Message(Struct, gc=False):
    """What the model says."""

    content: list[Raw] | None = None


class Output(Struct, gc=False):
    """Where the message stands."""

    message: Message | None = None


class Ending(Struct, gc=False):
    """Why an answer ended, what it used, and how it was served: of a whole one, and of the last events of a stream."""

    stopReason: str | None = None  # noqa: N815
    usage: Any = None
    metrics: Any = None
    trace: Any = None
    additionalModelResponseFields: Any = None  # noqa: N815
    performanceConfig: Any = None  # noqa: N815
    serviceTier: Any = None  # noqa: N815


class Answer(Ending, gc=False):
    """A whole answer."""

    output: Output | None = None
    message: Any = None
    Message: Any = None


class CallDelta(Struct, gc=False):
    """More of a call's input, as text."""

    input: str | None = None


class ReasoningDelta(Struct, gc=False):
    """More thinking, its signature, or hidden thinking."""

    text: str | None = None
    signature: str | None = None
    redactedContent: str | None = None  # noqa: N815


class Delta(Struct, gc=False):
    """More of a block."""

    text: str | None = None
    toolUse: CallDelta | None = None  # noqa: N815
    toolResult: Any = None  # noqa: N815
    reasoningContent: ReasoningDelta | None = None  # noqa: N815
    citation: Any = None
    image: Picture | None = None


class CallStart(Struct, gc=False):
    """The head of a call, whose input follows."""

    toolUseId: Any = None  # noqa: N815
    name: str | None = None
    type: Any = None


class Start(Struct, gc=False):
    """The head of a block; texts and thinking have none."""

    toolUse: CallStart | None = None  # noqa: N815
    toolResult: dict[str, Any] | None = None  # noqa: N815
    image: Picture | None = None


class Event(Ending, gc=False):
    """The payload of an event of any type."""

    contentBlockIndex: int | None = None  # noqa: N815
    start: Start | None = None
    delta: Delta | None = None


class Counted(Struct, gc=False):
    """The tokens of a prompt."""

    inputTokens: Any  # noqa: N815


ANSWER = Decoder(Answer)
BLOCK = Decoder(Block)
EVENT = Decoder(Event)
COUNTED = Decoder(Counted)
OPAQUE: Decoder[dict[str, Any]] = Decoder(dict[str, Any])
