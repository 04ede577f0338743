"""The sockets behind a gRPC server, which it does not hand out, and the kernel's filters for them."""

import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

Instruction = tuple[int, int, int, int]
"""One of classic BPF: code, where to jump if true and if false, operand."""


class Program:
    """A classic BPF program in memory, as long as this object lives; no privilege is needed to attach one."""

    def __init__(self, instructions: Iterable[Instruction]) -> None:
        code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
        self._code = ctypes.create_string_buffer(code)
        self.address = struct.pack("HL", len(code) // 8, ctypes.addressof(self._code))
        """What setsockopt takes."""


def listeners(port: int) -> Iterator[socket.socket]:
    """Copies of this process's TCP sockets that listen on a port; the caller closes them."""

    def is_one(sock: socket.socket) -> bool:
        return _is_tcp(sock) and _listens(sock) and sock.getsockname()[1] == port

    return _sockets(is_one)


def connections(ports: Iterable[int], paths: Iterable[Path]) -> int:
    """How many connections came in by these ports, and by unix sockets that were bound to these paths."""
    by_port, by_path = set(ports), {str(path) for path in paths}

    def is_one(sock: socket.socket) -> bool:
        sock.getpeername()  # fails for what is connected to nobody
        if _is_tcp(sock):
            return sock.getsockname()[1] in by_port
        return sock.family == socket.AF_UNIX and sock.getsockname() in by_path

    count = 0
    for found in _sockets(is_one):
        found.close()
        count += 1
    return count


def _sockets(wanted: Callable[[socket.socket], bool]) -> Iterator[socket.socket]:
    try:
        names = list(Path("/proc/self/fd").iterdir())
    except OSError:
        return
    for name in names:
        with suppress(OSError):  # closed meanwhile
            if not str(name.readlink()).startswith("socket:"):
                continue
            copy = socket.socket(fileno=os.dup(int(name.name)))
            try:
                if wanted(copy):
                    yield copy
                    continue
            except OSError:
                copy.close()
                raise
            copy.close()


def _is_tcp(sock: socket.socket) -> bool:
    return sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM


def _listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
