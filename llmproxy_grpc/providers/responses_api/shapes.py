"""The JSON that comes back, as far as it matters: liberal shapes, in which almost anything may be missing."""

from typing import Any

from msgspec import Struct
from msgspec.json import Decoder


class Ending(Struct, gc=False):
    """A response as it stands at its end, without the output, which a stream has told already."""

    id: Any = None
    model: Any = None
    status: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    service_tier: Any = None
    store: Any = None


class Answer(Ending, gc=False):
    """A whole response; `detail` is what FastAPI answers in its place."""

    output: list[Any] | None = None
    detail: Any = None


class Event(Struct, gc=False):
    """One event of a stream; servers leave out any of the numbers, and ids."""

    type: Any = None
    output_index: Any = None
    item_id: Any = None
    content_index: Any = None
    summary_index: Any = None
    delta: Any = None
    logprobs: Any = None
    annotation: Any = None
    item: Any = None
    response: Ending | None = None
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None


class LastEvent(Struct, gc=False):
    """The last event of a stream, with the output."""

    response: Answer


ANSWER = Decoder(Answer)
EVENT = Decoder(Event)
LAST_EVENT = Decoder(LastEvent)
