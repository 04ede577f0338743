"""Stream: answers a conversation event by event, as the provider produces it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.errors import FieldViolation
from llmproxy_grpc.messages import UpstreamEnd
from llmproxy_grpc.server.pacing import Batch, Pacing, with_heartbeats
from llmproxy_grpc.server.request import RouterLease, accept, invalid, warn_of_unknown_fields
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.server.stream_writer import StreamWriter
from llmproxy_grpc.server.validation import validate_stream_options

CHAT: Final = "chat."


class StreamServicer:
    """Serves Stream.

    Args:
        lend_router: Lends the current router.
        active_streams: How many streams are in flight, for pacing under load.
        write_timeout: Longest wait, in seconds, for a caller that does not read.
    """

    def __init__(
        self, lend_router: RouterLease, *, active_streams: Callable[[], int], write_timeout: Callable[[], float]
    ) -> None:
        self._lend_router = lend_router
        self._active_streams = active_streams
        self._write_timeout = write_timeout

    async def stream(self, request: chat_pb2.StreamRequest, rpc: Rpc) -> None:
        """Answers one request.

        A coroutine that writes, never a generator: grpc.aio would close that in another task, later. Nothing is sent
        before the first output, so that until then the caller's library and the router may try again.
        """
        call, options = rpc.call, request.options
        wrong = validate_stream_options(options, prefix="options.")
        if not request.HasField("chat"):
            raise invalid([*wrong, FieldViolation("chat", "Required: the conversation to answer.")])
        accepted = await accept(request.chat, call, prefix=CHAT, others=wrong)
        warn_of_unknown_fields(request, call)
        pacing = Pacing(options, self._active_streams)
        with self._lend_router() as router:
            async with (
                aclosing(router.stream(call, accepted)) as output,
                aclosing(with_heartbeats(output, pacing.heartbeat) if pacing.heartbeat else output) as batches,
            ):

                async def release() -> None:
                    await batches.aclose()
                    await output.aclose()

                writer = StreamWriter(rpc, options, write_timeout=self._write_timeout(), release=release)
                if options.inband_error:
                    rpc.last_words = writer.error
                try:
                    await _forward(batches, writer, pacing, call.deadline_at)
                finally:
                    await writer.settle()


async def _forward(
    batches: AsyncGenerator[Batch | None, None], writer: StreamWriter, pacing: Pacing, deadline_at: float
) -> None:
    loop = asyncio.get_running_loop()
    async for batch in batches:
        if batch is None:
            await writer.heartbeat()
            continue
        await writer.batch(batch)
        if isinstance(batch[-1], UpstreamEnd):
            return
        hold = pacing.hold()
        if hold:
            # Never past the deadline: what is held has to leave before it.
            await asyncio.sleep(max(0.0, min(hold, (deadline_at - loop.time()) / 2)))
