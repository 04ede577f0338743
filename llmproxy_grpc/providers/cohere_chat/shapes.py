"""The JSON that comes back, as far as it matters: liberal shapes, in which almost anything may be missing."""

from typing import Any

from msgspec import Struct
from msgspec.json import Decoder


class Content(Struct, gc=False):
    """A piece of content, or more of one."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class Function(Struct, gc=False):
    """The function of a call."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct, gc=False):
    """A call, or more of one."""

    id: Any = None
    function: Function | None = None


class Message(Struct, gc=False):
    """A message, or more of one: in pieces of a stream its lists are the one entry that grows."""

    content: list[Content] | Content | None = None
    tool_plan: str | None = None
    tool_calls: list[ToolCall] | ToolCall | None = None
    citations: Any = None


class Logprobs(Struct, gc=False):
    """A piece of text and the log probabilities of its tokens, which have no text of their own."""

    text: str | None = None
    logprobs: Any = None


class Answer(Struct, gc=False):
    """A whole answer, or an error."""

    id: Any = None
    finish_reason: str | None = None
    message: Message | str | None = None
    usage: Any = None
    logprobs: list[Logprobs] | None = None


class Delta(Struct, gc=False):
    """What an event brings."""

    message: Message | None = None
    finish_reason: str | None = None
    usage: Any = None
    error: Any = None


class Event(Struct, gc=False):
    """One event of a stream."""

    type: str = ""
    index: int | None = None
    id: Any = None
    delta: Delta | None = None
    message: Any = None
    logprobs: Logprobs | None = None


_Number = float
"""Within the struct its field has that name."""


class Floats(Struct, gc=False):
    """Vectors as numbers."""

    float: list[list[_Number]] | None = None


class Vectors(Struct, gc=False):
    """The vectors of a batch."""

    embeddings: Floats
    meta: Any = None


class ListedModel(Struct, gc=False):
    """One entry of the list of models."""

    name: Any = None
    endpoints: Any = None
    features: Any = None
    context_length: Any = None


class ModelPage(Struct, gc=False):
    """One page of the list."""

    models: list[ListedModel]
    next_page_token: str | None = None


ANSWER = Decoder(Answer)
EVENT = Decoder(Event)
VECTORS = Decoder(Vectors)
MODELS = Decoder(ModelPage)
