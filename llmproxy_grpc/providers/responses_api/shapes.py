"""The JSON that comes back, as far as it matters: liberal shapes, in which almost anything may be missing."""

from typing import Any

from msgspec import Struct
from msgspec.json import Decoder


class Answer(Struct, gc=False):
    """A response, whole or as it stands at one event of a stream."""

    id: Any = None
    model: Any = None
    status: str | None = None
    output: list[dict[str, Any]] | None = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    service_tier: Any = None


class Event(Struct, gc=False):
    """One event of a stream."""

    type: str = ""
    output_index: int | None = None
    item_id: str | None = None
    summary_index: int | None = None
    delta: str | None = None
    arguments: str | None = None
    logprobs: Any = None
    annotation: Any = None
    item: dict[str, Any] | None = None
    response: Answer | None = None
    error: Any = None


class Counted(Struct, gc=False):
    """The tokens of a prompt."""

    input_tokens: int


ANSWER = Decoder(Answer)
EVENT = Decoder(Event)
COUNTED = Decoder(Counted)
