"""What a frame of the spool says: a call has begun, a call has ended, with its record or without, somebody has judged.

Fields are written by position: new ones go to the end, with a default, and none is ever taken out.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

Figures = tuple[int, int, int, int, int, int, int, int | None, str]
"""Of a Usage: input, output, total, cached, cache write and reasoning tokens, source, nanos of the cost, currency."""


class Began(Struct, frozen=True, array_like=True, tag="began"):
    """A call has begun; without an end the worker died under it."""

    id: str
    tenant: str
    caller_key_id: str
    method: str
    started_at: int


class Ended(Struct, frozen=True, array_like=True, tag="ended", kw_only=True):
    """A call has ended; times and durations in microseconds.

    With content, `request` is the request as it came, `response` or `events` the answer as it left. Without, `request`
    is empty, the answer has no words in it, and the rest is told here.
    """

    id: str
    tenant: str
    caller_key_id: str
    method: str
    started_at: int
    latency_us: int
    ttft_us: int | None
    model: str
    provider: str
    upstream_model: str
    attempts: int
    fell_back: bool
    grpc_code: int
    error_reason: str
    error: bytes
    usage: Figures | None
    complete: bool
    data_policy: int
    request: bytes
    response: bytes
    events: Sequence[bytes]
    """Of a stream: its serialized events, in order; then there is no `response`."""
    end_user: str = ""
    conversation: str = ""
    labels: dict[str, str] = {}

    @property
    def size(self) -> int:
        """Bytes of its content."""
        return len(self.request) + len(self.response) + sum(map(len, self.events))


class Dropped(Struct, frozen=True, array_like=True, tag="dropped"):
    """A call has ended, and its record was dropped: nothing is stored of it, and it was not interrupted."""

    id: str


class Judged(Struct, frozen=True, array_like=True, tag="judged"):
    """Somebody has judged a record; fields as of Feedback."""

    id: bytes
    tenant: str
    record_id: bytes
    name: str
    kind: int
    number: float | None
    content: bytes | None
    source: str
    created_at: int


Said = Began | Ended | Dropped | Judged

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Said)


def encode(said: Said) -> bytes:
    """The payload of a frame."""
    return _ENCODER.encode(said)


def decode(payload: bytes) -> Said:
    """What a payload says.

    Raises:
        ValueError: It says nothing that this version understands.
    """
    try:
        said: Said = _DECODER.decode(payload)
    except msgspec.DecodeError as error:
        raise ValueError("not a frame's payload") from error
    return said
