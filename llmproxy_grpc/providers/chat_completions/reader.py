"""Reads one stream from its connection: batch by batch, to its end and no further."""

import asyncio

from llmproxy_grpc.errors import ProxyError, UpstreamStreamBroken
from llmproxy_grpc.messages import StreamEvent
from llmproxy_grpc.providers.chat_completions.stream import StreamDecoder
from llmproxy_grpc.providers.http import HttpResponse
from llmproxy_grpc.providers.sse import SseReader

_CLOSING_SECONDS = 0.05
"""How long a server may take from [DONE] to the end of its body, for the connection to be used again."""


class StreamReader:
    """Gives the batches of a stream; what had come before an error is given before the error is raised.

    Args:
        response: The answer to read.
        decoder: What its events mean.
        tail_seconds: How long to wait for usage and [DONE] when all candidates have ended: the answer is whole then,
            and a server that forgets to close must not make an error of it.
    """

    def __init__(self, response: HttpResponse, decoder: StreamDecoder, *, tail_seconds: float) -> None:
        self._response = response
        self._decoder = decoder
        self._tail_seconds = tail_seconds
        self._tail_ends_at: float | None = None
        self._events = SseReader()
        self._ended = False
        self._error: ProxyError | None = None

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
            self._decoder.feed(self._events.feed(chunk))
            if not self._decoder.done:
                return
            await self._close()
        else:
            self._decoder.feed_rest(self._events.close())
        self._decoder.end()
        self._ended = True

    async def _chunk(self) -> bytes:
        if self._decoder.only_tail_missing:
            return await self._tail_chunk()
        try:
            return await self._response.chunk()
        except UpstreamStreamBroken as error:
            # Candidates asked for that have not begun may still have been to come.
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
        """Reads the end of the body, which comes with [DONE] or right behind it."""
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._response.chunk()
        except (TimeoutError, ProxyError):
            return
