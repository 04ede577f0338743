"""One RPC at the gRPC edge, and the chain of interceptors that every RPC passes before its servicer."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message
from msgspec import Struct, field

from llmproxy_grpc.calls import ANONYMOUS, Call
from llmproxy_grpc.errors import CallerCancelled, InvalidRequest

LARGE: Final = 1024 * 1024
"""Bytes of a request from which on others may run between parsing and serving it: each takes some milliseconds."""

STOCK: Final = 4096
"""Random bytes that are fetched at once."""

Context = grpc.aio.ServicerContext[Any, Any]


class Method(Struct, frozen=True):
    """One method that is served: its name, how its request is parsed, and whether it streams its answer."""

    name: str
    request: type[Message]
    streaming: bool = False


class Rpc(Struct):
    """One RPC while it is served: the transport's side of a Call."""

    method: Method
    context: Context
    data: bytes
    call: Call
    metadata: Mapping[str, str | bytes]
    response: bytes = b""
    """What a unary method answers, serialized."""
    last_words: Callable[[Exception], Awaitable[None]] | None = None
    """Sends an error in band before the status, if the caller asked for it."""
    request: Message | None = None
    """The request once it is parsed."""
    trailers: tuple[tuple[str, str | bytes], ...] = ()
    """What the trailers say so far of a call that went well."""
    tape: "Callable[[], Tape] | None" = None
    """Makes the tape of a stream that is recorded."""


class Tape(Struct):
    """The events of one stream, as they are sent; whoever writes them puts them here too.

    Attributes:
        words: Whether the answer's words belong on it.
        complete: Awaited before the end is sent, when everything else is on the tape.
        events: Serialized, in order.
        figures: Those among them that hold none of the answer's words.
        is_cut: Whether the words did not fit, and only the figures are left.
    """

    words: bool
    complete: Callable[[], Awaitable[None]]
    events: list[bytes] = field(default_factory=list)
    figures: list[bytes] = field(default_factory=list)
    is_cut: bool = False

    def note(self, event: bytes) -> None:
        """Takes an event that holds none of the answer's words."""
        self.events.append(event)
        self.figures.append(event)

    def cut(self) -> None:
        """Lets go of the answer's words; whoever has put them here does so no longer."""
        self.is_cut = self.words
        self.events = list(self.figures)


Proceed = Callable[[Rpc], Awaitable[None]]
Interceptor = Callable[[Rpc, Proceed], Awaitable[None]]
Servicer = Callable[[Any, Rpc], Awaitable[Message | None]]


class Door:
    """Makes servicers into gRPC handlers behind one ordered chain of interceptors, the outermost first."""

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors: Final = tuple(interceptors)

    def handler(self, method: Method, servicer: Servicer) -> "grpc.RpcMethodHandler[Any, Any]":
        """The gRPC handler of one method.

        Requests arrive as bytes and are parsed behind the interceptors, so that corrupt ones get an error of ours.
        """
        chain: Proceed = partial(_answer, servicer)
        for interceptor in reversed(self._interceptors):
            chain = _before(interceptor, chain)

        async def unary(data: bytes, context: Context) -> bytes:
            rpc = _rpc(method, data, context)
            await chain(rpc)
            return rpc.response

        async def stream(data: bytes, context: Context) -> None:
            await chain(_rpc(method, data, context))

        if method.streaming:
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


class Randomness:
    """Hands out the system's random bytes, which are fetched many at a time: asking for them costs 10 µs each time."""

    def __init__(self) -> None:
        self._stock, self._used = b"", 0

    def take(self, count: int) -> bytes:
        """So many bytes, each handed out once; at most 4,096."""
        if self._used + count > len(self._stock):
            self._stock, self._used = os.urandom(STOCK), 0
        start, self._used = self._used, self._used + count
        return self._stock[start : self._used]


_randomness: Final = Randomness()


def record_id(milliseconds: int, randomness: bytes) -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix time, then 74 random bits from ten bytes."""
    low = int.from_bytes(randomness)
    value = milliseconds << 80 | low
    value = value & ~(0xF000 << 64) | 0x7000 << 64
    value = value & ~(0xC000 << 48) | 0x8000 << 48
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _rpc(method: Method, data: bytes, context: Context) -> Rpc:
    # Not the loop's own clock: uvloop's moves in steps of a millisecond. Both count from the same start.
    now = time.monotonic()
    call = Call(
        id=record_id(time.time_ns() // 1_000_000, _randomness.take(10)),
        method=method.name,
        request_id="",
        caller=ANONYMOUS,
        create_time=datetime.now(UTC),
        started_at=now,
        deadline_at=now,
        request_bytes=len(data),
    )
    return Rpc(method, context, data, call, dict(context.invocation_metadata() or ()))


def _before(interceptor: Interceptor, proceed: Proceed) -> Proceed:
    # Not a coroutine of its own: every call passes through eight of them, and each would be a frame more.
    return lambda rpc: interceptor(rpc, proceed)


async def _answer(servicer: Servicer, rpc: Rpc) -> None:
    """Parses the request and lets the servicer answer it."""
    try:
        request = rpc.method.request.FromString(rpc.data)
    except DecodeError:
        raise InvalidRequest(f"The request is not a valid {rpc.method.request.DESCRIPTOR.full_name}.") from None
    if len(rpc.data) > LARGE:
        await asyncio.sleep(0)
    rpc.data, rpc.request = b"", request
    try:
        response = await servicer(request, rpc)
    except grpc.aio.InternalError:
        # A write to a caller that has left may fail before gRPC cancels the task.
        raise CallerCancelled("The caller left.") from None
    if response is not None:
        rpc.response = response.SerializeToString()
