"""Leaves a port to a successor that listens on it as well, without a connection lost.

gRPC cannot close its listeners alone. So the kernel has to: first it is told to overlook who asks for a connection, who
then asks again, a second later; once those are served that it had begun to connect, it stops listening here.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from llmproxy_grpc.server.descriptors import Program, connections, listeners
from llmproxy_grpc.sockets import SocketPath

SO_ATTACH_FILTER: Final = 26
FLAGS: Final = 13
SYN: Final = 2
"""Where a TCP header has its flags, and the one that asks for a connection."""
SETTLED: Final = 0.2
"""Seconds in which a connection that was begun is made."""
LOOK: Final = 0.25
"""Seconds between two looks at what is left."""


async def leave(
    ports: Sequence[int],
    paths: Sequence[SocketPath],
    within: float,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Stops listening, and waits until the connections are gone, so many seconds at most.

    Unix sockets have lost their paths to the successor's by then.
    """
    until = clock() + within
    program = Program(((0x30, 0, 0, FLAGS), (0x45, 0, 1, SYN), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF)))
    for port in ports:
        for listener in listeners(port):
            with listener, suppress(OSError):
                listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program.address)
    await asyncio.sleep(SETTLED)
    for port in ports:
        for listener in listeners(port):
            with listener, suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
    while connections(ports, [path.at for path in paths]) and clock() < until:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(LOOK)
