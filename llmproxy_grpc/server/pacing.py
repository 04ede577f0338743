"""When a stream's events leave: held a little to travel together under load, and heartbeats in silence."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from typing import Final

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.messages import StreamEvent
from llmproxy_grpc.wire.scalars import to_seconds

BUSY_FROM: Final = 100
"""Streams in flight from which text is held."""
HOLD_PER_STREAM: Final = 0.0001
"""Seconds for each stream beyond those."""
LONGEST_HOLD: Final = 0.020
"""Seconds."""

Batch = Sequence[StreamEvent]


class Pacing:
    """How long to hold text, so that more of it travels in one message.

    Text is held by reading the provider later: what arrives meanwhile is one batch, and nothing that was read waits.
    Only what follows the first output is ever held.
    """

    def __init__(self, options: chat_pb2.StreamOptions, active_streams: Callable[[], int]) -> None:
        self.heartbeat = to_seconds(options.heartbeat) if options.HasField("heartbeat") else 0.0
        """Seconds of silence before a heartbeat; 0 for none."""
        asked = to_seconds(options.coalesce) if options.HasField("coalesce") else None
        self._asked = min(asked, self.heartbeat) if asked and self.heartbeat else asked
        self._active_streams = active_streams

    def hold(self) -> float:
        """Seconds to wait before the next read: as asked, else by load; no longer than a heartbeat's silence."""
        if self._asked is not None:
            return self._asked
        beyond = self._active_streams() - BUSY_FROM
        return min(LONGEST_HOLD, beyond * HOLD_PER_STREAM) if beyond > 0 else 0.0


async def with_heartbeats(source: AsyncGenerator[Batch, None], interval: float) -> AsyncGenerator[Batch | None, None]:
    """Yields the batches of the source, and None after each `interval` seconds without one."""
    loop = asyncio.get_running_loop()
    pending: asyncio.Task[Batch | None] | None = None
    due = loop.time() + interval
    try:
        while True:
            pending = pending or asyncio.create_task(_next(source))
            done, _ = await asyncio.wait({pending}, timeout=max(0.0, due - loop.time()))
            due = loop.time() + interval
            if not done:
                yield None
                continue
            batch = pending.result()
            pending = None
            if batch is None:
                return
            yield batch
    finally:
        if pending is not None:
            pending.cancel()
            with suppress(asyncio.CancelledError):
                await pending


async def _next(source: AsyncGenerator[Batch, None]) -> Batch | None:
    return await anext(source, None)
