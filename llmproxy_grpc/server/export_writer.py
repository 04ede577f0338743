"""Writes an export's messages: numbered, each with its token, no faster than asked for, and not for ever to nobody."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final, TypeVar

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.errors import SlowConsumer
from llmproxy_grpc.export.tokens import Position, Seal
from llmproxy_grpc.server.export_messages import heartbeat_message
from llmproxy_grpc.server.rpc import Rpc

HEARTBEAT: Final = 5.0
"""Seconds of silence after which the caller is told that the search goes on."""

_R = TypeVar("_R")


class ExportWriter:
    """Writes to one caller.

    Args:
        rpc: The call.
        seal: Makes the tokens.
        write_timeout: Longest wait, in seconds, for a caller that does not read.
        most_bytes_per_second: Of messages; 0 for no limit.
        release: Lets the thread and its place go; called when that wait is over.
        sent: Told how many bytes of data left.
    """

    def __init__(
        self,
        rpc: Rpc,
        seal: Seal,
        *,
        write_timeout: float,
        most_bytes_per_second: int,
        release: Callable[[], Coroutine[None, None, None]],
        sent: Callable[[int], None],
    ) -> None:
        self._rpc = rpc
        self._seal = seal
        self._write_timeout = write_timeout
        self._rate = most_bytes_per_second
        self._release = release
        self._sent = sent
        self._loop = asyncio.get_running_loop()
        self._sequence = 0
        self._token = ""
        self._free_at = 0.0
        self._releasing: asyncio.Task[None] | None = None

    async def turn(self) -> None:
        """Waits until the messages before have had their time at the rate that was asked for, with heartbeats as well.

        Raises:
            SlowConsumer: The caller has not read for too long.
        """
        while (left := self._free_at - self._loop.time()) > 0:
            await asyncio.sleep(min(left, HEARTBEAT))
            if left > HEARTBEAT:
                await self._write(heartbeat_message())

    async def send(self, message: pb.ExportResponse, position: Position) -> None:
        """Writes the next message in its turn, behind which an export can go on from a position.

        Raises:
            SlowConsumer: The caller has not read for too long.
        """
        await self.turn()
        self._token = self._seal.write(position)
        await self._write(message)

    async def patiently(self, result: "asyncio.Future[_R]") -> _R:
        """Waits for a result, with a heartbeat now and then."""
        while not result.done():
            await asyncio.wait([result], timeout=HEARTBEAT)
            if not result.done():
                await self._write(heartbeat_message())
        return result.result()

    async def _write(self, message: pb.ExportResponse) -> None:
        message.sequence = self._sequence
        message.resume_token = self._token
        data = message.SerializeToString()
        self._spend(len(data))
        watch = self._loop.call_later(self._write_timeout, self._give_up)
        try:
            await self._rpc.context.write(data)
        finally:
            watch.cancel()
        self._sequence += 1
        self._sent(len(data))
        if self._releasing is not None:
            await self._releasing
            raise SlowConsumer(f"The caller did not read for {self._write_timeout:.3g} s.")

    def _spend(self, size: int) -> None:
        """Takes the time of a message, which those behind it wait for."""
        if self._rate:
            self._free_at = max(self._loop.time(), self._free_at) + size / self._rate

    def _give_up(self) -> None:
        """Lets everything go but the write itself: gRPC cannot send a status while a message waits."""
        self._releasing = asyncio.create_task(self._release())
