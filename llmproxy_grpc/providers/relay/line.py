"""The line to another proxy: one channel, and for each call its deadline, its metadata and its errors."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from itertools import cycle
from typing import Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from msgspec import Struct

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.aside import aside
from llmproxy_grpc.calls import current_call
from llmproxy_grpc.errors import ProxyError, UpstreamProtocolError
from llmproxy_grpc.providers.relay.failures import failure
from llmproxy_grpc.providers.relay.metadata import along
from llmproxy_grpc.providers.relay.pieces import SMALLEST, check_pieces

SERVICE: Final = "/llmproxy.v1.LlmProxyService/"
LATE: Final = 0.15
"""The share of the time granted to a call below which what is left is none: an upstream answers a tenth early."""

MOST_PIECES: Final = 200_000
MOST_PIECES_AT_ONCE: Final = 20_000
"""Messages within a whole answer, and within one message of a stream."""
LONG: Final = 16 * 1024
"""Bytes from which on an answer is read aside: log probabilities have ten each, and each takes a microsecond or two."""

Answer = TypeVar("Answer", bound=Message)
T = TypeVar("T")
Unary = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
Streaming = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]


class _Terms(Struct, frozen=True):
    """How one call goes: its metadata, and its time limit in seconds, None for none."""

    metadata: tuple[tuple[str, str], ...]
    timeout: float | None
    ends_at: float

    @property
    def is_over(self) -> bool:
        """Whether the time of the call that is served is up, or so nearly that the upstream may have said so."""
        return self.timeout is not None and self.ends_at - time.monotonic() < self.timeout * LATE


class Line:
    """Calls another proxy. Answers are parsed here, as gRPC makes None of one that cannot be.

    Args:
        channel: The channel, which this closes.
        metadata: What each call carries; several sets take turns.
        secrets: Our keys, which no error may repeat.
    """

    def __init__(
        self, channel: grpc.aio.Channel, *, metadata: Sequence[Mapping[str, str]], secrets: Sequence[str]
    ) -> None:
        self._channel = channel
        self._unary: dict[str, Unary] = {}
        self._stream: Streaming = channel.unary_stream(f"{SERVICE}Stream")
        self._sets = metadata
        self._metadata = cycle(metadata)
        self._secrets = secrets

    def by_credential(self) -> Sequence["Line"]:
        """The same line once for each set of metadata; all of them have one channel."""
        return [Line(self._channel, metadata=(each,), secrets=self._secrets) for each in self._sets]

    async def ask(self, method: str, request: Message, answer: type[Answer], read: Callable[[Answer], T]) -> T:
        """Calls a unary method and gives what `read` makes of its answer.

        Args:
            method: Its name.
            request: What to ask.
            answer: What comes back.
            read: Reads that. If it is long it does so aside: it must need neither the event loop nor context variables.

        Raises:
            ProxyError: The call failed, its answer is none or has too many parts; or what `read` raises.
        """
        terms = self._terms()
        call = self._unary.get(method)
        if call is None:
            call = self._unary[method] = self._channel.unary_unary(SERVICE + method)
        try:
            data = await call(request.SerializeToString(), timeout=terms.timeout, metadata=terms.metadata)
        except grpc.aio.AioRpcError as error:
            raise self._failure(error, terms) from None
        return await _read(data, answer, MOST_PIECES, read)

    async def stream(
        self, request: chat_pb2.StreamRequest, read: Callable[[chat_pb2.StreamResponse], T]
    ) -> AsyncGenerator[T, None]:
        """Yields what `read` makes of each message of a Stream, as `ask`; it ends if the status is OK."""
        terms = self._terms()
        call = self._stream(request.SerializeToString(), timeout=terms.timeout, metadata=terms.metadata)
        begun = False
        try:
            while isinstance(data := await call.read(), bytes):
                begun = True
                yield await _read(data, chat_pb2.StreamResponse, MOST_PIECES_AT_ONCE, read)
        except grpc.aio.AioRpcError as error:
            raise self._failure(error, terms, begun=begun) from None
        finally:
            call.cancel()

    async def aclose(self) -> None:
        """Closes the channel."""
        await self._channel.close()

    def _failure(self, error: grpc.aio.AioRpcError, terms: _Terms, *, begun: bool = False) -> ProxyError:
        # What another server passes on looks as gRPC's own errors do: only the connection tells them apart.
        connected = self._channel.get_state() is grpc.ChannelConnectivity.READY
        return failure(error, late=terms.is_over, begun=begun, connected=connected, secrets=self._secrets)

    def _terms(self) -> _Terms:
        """The caller's deadline holds for the upstream as well: what it makes after that nobody would get."""
        call = current_call.get()
        metadata = tuple({**next(self._metadata), **along(call)}.items())
        if call is None:
            return _Terms(metadata, None, 0.0)
        return _Terms(metadata, max(0.0, call.deadline_at - time.monotonic()), call.deadline_at)


async def _read(data: bytes, answer: type[Answer], most_pieces: int, read: Callable[[Answer], T]) -> T:
    if len(data) > LONG:
        return await aside(_parsed, data, answer, most_pieces, read)
    return _parsed(data, answer, most_pieces, read)


def _parsed(data: bytes, answer: type[Answer], most_pieces: int, read: Callable[[Answer], T]) -> T:
    try:
        parsed = answer.FromString(data)
    except DecodeError:
        raise UpstreamProtocolError(f"The provider's answer is not a valid {answer.DESCRIPTOR.name}.") from None
    if len(data) > most_pieces * SMALLEST:  # else it cannot have more
        check_pieces(parsed, most_pieces)
    return read(parsed)
