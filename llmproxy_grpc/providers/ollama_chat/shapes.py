"""The JSON that comes back, as far as it matters: liberal shapes, in which almost anything may be missing."""

from typing import Any, Generic, TypeVar

from msgspec import Raw, Struct
from msgspec.json import Decoder

Arguments = TypeVar("Arguments")
_NO_ARGUMENTS: Any = Raw(b"{}")


class Function(Struct, Generic[Arguments], gc=False):
    """The function of a call; `arguments` keeps the bytes in which it came where that is possible."""

    name: str | None = None
    arguments: Arguments = _NO_ARGUMENTS


class ToolCall(Struct, Generic[Arguments], gc=False):
    """A call; older versions give no id."""

    id: Any = None
    function: Function[Arguments] | None = None


class Message(Struct, Generic[Arguments], gc=False):
    """A message, or more of one."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[ToolCall[Arguments]] | None = None


class Answer(Struct, Generic[Arguments], gc=False):
    """A whole answer, or a piece of one: the last piece says `done`."""

    model: Any = None
    message: Message[Arguments] | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    logprobs: Any = None
    error: Any = None


ANSWER: Decoder[Answer[Raw]] = Decoder(Answer[Raw])
LIBERAL_ANSWER: Decoder[Answer[Any]] = Decoder(Answer[Any])
"""For lines with half a character in them, which have to be read by other means."""


class Vectors(Struct, gc=False):
    """The vectors of a batch."""

    embeddings: list[list[float]]
    prompt_eval_count: Any = None


class ListedModel(Struct, gc=False):
    """One entry of the list of models."""

    name: Any = None
    model: Any = None
    digest: Any = None


class ModelList(Struct, gc=False):
    """The list of models."""

    models: list[ListedModel]


class Shown(Struct, gc=False):
    """What Ollama tells of one model."""

    capabilities: Any = None
    model_info: Any = None


VECTORS = Decoder(Vectors)
MODELS = Decoder(ModelList)
SHOWN = Decoder(Shown)
