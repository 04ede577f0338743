"""A TCP relay that stands between a client and a server and spoils the line as told."""

import asyncio
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from enum import Flag, auto
from typing import Self


class Way(Flag):
    """Which way bytes go."""

    TO_SERVER = auto()
    TO_CLIENT = auto()
    BOTH = TO_SERVER | TO_CLIENT


class Relay:
    """Hold it with `async with` and connect to `port`; everything may be changed while connections are open.

    Args:
        port: The server's, on 127.0.0.1.
        latency: Seconds by which each piece is late, each way.
        chop: Passes on at most so many bytes at a time; 0 for pieces as they come.
        cut_behind: Resets each connection behind so many bytes to its client, one number for each, then no more.
    """

    def __init__(self, port: int, *, latency: float = 0.0, chop: int = 0, cut_behind: Iterable[int] = ()) -> None:
        self.latency = latency
        self.chop = chop
        self.port = 0
        self._cuts = iter(cut_behind)
        self.accepted = 0
        self._server_port = port
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = {Way.TO_SERVER: asyncio.Event(), Way.TO_CLIENT: asyncio.Event()}
        self.resume()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def hold(self, way: Way = Way.BOTH) -> None:
        """Keeps what comes from now on, until `resume`; connections are still accepted."""
        for each in way:
            self._free[each].clear()

    def resume(self) -> None:
        """Lets everything through again."""
        for free in self._free.values():
            free.set()

    def cut(self) -> None:
        """Resets every connection, on both sides."""
        for writer in tuple(self._open):
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            there = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            self._leave(task, writer)
            return
        self._open.add(there[1])
        try:
            await asyncio.gather(
                self._pump(Way.TO_SERVER, reader, there[1]), self._pump(Way.TO_CLIENT, there[0], writer)
            )
        finally:
            self._leave(task, writer, there[1])

    async def _pump(self, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        left = next(self._cuts, None) if way is Way.TO_CLIENT else None
        with suppress(ConnectionError):
            while data := await source.read(65536 if left is None else min(65536, left)):
                left = None if left is None else left - len(data)
                for start in range(0, len(data), self.chop or len(data)):
                    await self._pass(way, data[start : start + self.chop] if self.chop else data, sink)
                if left == 0:
                    _reset(sink)
                    return
            await self._free[way].wait()
            sink.write_eof()
            return
        # One side is gone: so is the other.
        sink.transport.abort()

    async def _pass(self, way: Way, data: bytes, sink: asyncio.StreamWriter) -> None:
        await self._free[way].wait()
        # A zero sleep still lets the peer, on the same loop, read piece by piece.
        await asyncio.sleep(self.latency)
        sink.write(data)
        await sink.drain()

    def _leave(self, task: asyncio.Task[None], *writers: asyncio.StreamWriter) -> None:
        self._tasks.discard(task)
        for writer in writers:
            self._open.discard(writer)
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
