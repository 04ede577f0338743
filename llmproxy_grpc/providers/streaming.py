"""Reads one stream from its connection, batch by batch, to its end and no further; a kind says what its frames mean."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from llmproxy_grpc.aside import aside
from llmproxy_grpc.errors import ProxyError, UpstreamProtocolError, UpstreamStreamBroken
from llmproxy_grpc.messages import ProviderResponse, StreamEvent, Usage, UsageSoFar
from llmproxy_grpc.messages.collected import Collected
from llmproxy_grpc.providers.batch import Batch
from llmproxy_grpc.providers.extent import LONG, MANY_CONTAINERS, SHORT, check_containers, containers_in
from llmproxy_grpc.providers.http import HttpResponse

_CLOSING_SECONDS = 0.05
"""How long a server may take from its end marker to the end of its body, for the connection to be used again."""

Frame = TypeVar("Frame")
Frame_co = TypeVar("Frame_co", covariant=True)


class Framing(Protocol[Frame_co]):
    """Cuts one stream of bytes into frames, however the network splits it."""

    @property
    def held(self) -> int:
        """Bytes of a frame whose end has not come."""

    def feed(self, chunk: bytes) -> Iterable[Frame_co]:
        """Takes the next bytes and gives the frames that they complete; UpstreamProtocolError if they make none."""

    def close(self) -> Iterable[Frame_co]:
        """Ends the stream: gives what may be a frame without its end."""


class StreamDecoder(ABC, Generic[Frame]):
    """Turns the frames of one stream into events, and knows when the stream is complete."""

    def __init__(self) -> None:
        self.batch = Batch()
        self.done = False
        """Whether the provider's last word has come; what follows it is ignored."""
        self.usage_is_news = False
        """Whether counts have come that were not told yet."""

    @property
    @abstractmethod
    def output_started(self) -> bool:
        """Whether any output has come."""

    @property
    def only_tail_missing(self) -> bool:
        """Whether the answer is whole, so that nothing but counts and the end of the body may follow."""
        return False

    @abstractmethod
    def read(self, frame: Frame) -> None:
        """Takes one frame.

        Raises:
            UpstreamProtocolError: The frame is not what the wire promises.
            ProxyError: The frame is an error of the provider.
        """

    @abstractmethod
    def end(self) -> None:
        """Ends the stream at its last word, or at the end of the connection; `take` gives the last events.

        Raises:
            ProxyError: The stream is not complete: what `broken` gives.
        """

    def feed(self, frames: Iterable[Frame]) -> None:
        """Takes the frames of one read; `take` gives what they say, even if this raises as `read` does."""
        for frame in frames:
            self.read(frame)
            if self.done:
                return

    def feed_rest(self, frames: Iterable[Frame]) -> None:
        """Takes what the connection's end left over: a last frame that lacks its end, or half of one."""
        try:
            self.feed(frames)
        except UpstreamProtocolError:
            return

    def usage_so_far(self) -> Usage | None:
        """What the counts come to that have come last; None if they say nothing."""
        return None

    def take(self) -> list[StreamEvent]:
        """Gives our events for all that was fed since the last time, the usage once behind them all."""
        if self.usage_is_news:
            self.usage_is_news = False
            usage = self.usage_so_far()
            if usage is not None:
                self.batch.add(UsageSoFar(usage))
        return self.batch.take()

    def in_one_piece(self, request_id: str) -> ProviderResponse:
        """Ends, as `end` does, and gives all that was read as one answer: for answers that are read as streams are.

        Args:
            request_id: How the provider calls the request.
        """
        self.end()
        collected = Collected()
        collected.take(self.take())
        return collected.response(request_id)

    def broken(self) -> ProxyError:
        """The error of a stream that ends too early."""
        if self.output_started:
            return UpstreamStreamBroken("The provider broke off its answer.")
        return UpstreamProtocolError("The provider's stream ended before any output.")


class StreamReader(Generic[Frame]):
    """Gives the batches of a stream; what had come before an error is given before the error is raised.

    Args:
        response: The answer to read.
        framing: Cuts its bytes.
        decoder: What its frames mean.
        tail_seconds: How long to wait for counts and the last word when the answer is whole: a server that forgets to
            close must not make an error of it.
    """

    def __init__(
        self,
        response: HttpResponse,
        framing: Framing[Frame],
        decoder: StreamDecoder[Frame],
        *,
        tail_seconds: float = 2.0,
    ) -> None:
        self._response = response
        self._framing = framing
        self._decoder = decoder
        self._tail_seconds = tail_seconds
        self._tail_ends_at: float | None = None
        self._ended = False
        self._error: ProxyError | None = None
        self._containers = 0
        """Objects and lists in what has come of a long frame."""

    async def read(self) -> list[StreamEvent]:
        """Waits for the next batch; empty after the last one.

        Raises:
            ProxyError: The stream failed, or ended without its end.
        """
        while self._error is None and not self._ended:
            try:
                await self._advance()
            except ProxyError as error:
                self._error = error
            batch = self._decoder.take()
            if batch:
                return batch
        if self._error is not None:
            raise self._error
        return []

    async def _advance(self) -> None:
        chunk = await self._chunk()
        if chunk:
            if self._takes_long(chunk):
                await aside(self._feed, chunk)
            else:
                self._feed(chunk)
            if not self._decoder.done:
                return
            await self._close()
        else:
            self._decoder.feed_rest(self._framing.close())
        self._decoder.end()
        self._ended = True

    def _feed(self, chunk: bytes) -> None:
        self._decoder.feed(self._framing.feed(chunk))

    def _takes_long(self, chunk: bytes) -> bool:
        """Whether the next bytes end a frame that is long or full, or so many of them; it may be too full."""
        held = self._framing.held
        if held + len(chunk) <= SHORT:  # nearly always
            return False
        if held <= SHORT:
            self._containers = 0
        self._containers += containers_in(chunk)
        check_containers(self._containers)
        return held + len(chunk) > LONG or self._containers > MANY_CONTAINERS

    async def _chunk(self) -> bytes:
        if self._decoder.only_tail_missing:
            return await self._tail_chunk()
        try:
            return await self._response.chunk()
        except UpstreamStreamBroken as error:
            # What was asked for and has not begun may still have been to come.
            raise self._decoder.broken() from error

    async def _tail_chunk(self) -> bytes:
        if self._tail_ends_at is None:
            self._tail_ends_at = asyncio.get_running_loop().time() + self._tail_seconds
        try:
            async with asyncio.timeout_at(self._tail_ends_at):
                return await self._response.chunk()
        except (TimeoutError, UpstreamStreamBroken):
            return b""

    async def _close(self) -> None:
        """Reads the end of the body, which comes with the last word or right behind it."""
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._response.chunk()
        except (TimeoutError, ProxyError):
            return
