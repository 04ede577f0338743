"""Addresses that several processes listen on: held for them, and refused to every other server."""

import ipaddress
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from llmproxy_grpc.config.addresses import UNIX, TcpAddress, parse_address
from llmproxy_grpc.sockets import SocketPath, cannot_listen
from llmproxy_grpc.workers.places import ADMIN_LISTEN, GRPC_LISTEN, HEALTH_LISTEN, Places


class HeldPort:
    """A TCP port that our own workers may share, and nobody else may have, as long as this object is open.

    A socket is bound to it alone first, which fails if any other has it, and lets itself be joined only then. It never
    listens, so no connection comes to it; and a socket with SO_REUSEPORT, as each worker's, can be beside it, but one
    without, as every server's first here, cannot.

    Args:
        address: Where; port 0 asks for a free one.
        key: Of the configuration, for the error.

    Raises:
        OSError: Another server has the port, or it is not allowed.
    """

    def __init__(self, address: TcpAddress, key: str = GRPC_LISTEN) -> None:
        with ExitStack() as opened:
            self.port = address.port
            try:
                for family, host in _resolve(address.host):
                    held = opened.enter_context(socket.socket(family))
                    self.port = _hold(held, host, self.port)
            except OSError as error:
                raise cannot_listen(key, str(address)) from error
            self.address = str(TcpAddress(address.host, self.port))
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Lets go of the port."""
        self._opened.close()


class Addresses:
    """The addresses of all workers, held.

    Args:
        places: Of each worker, by its number.
        before: What is held so far: what stays the same is taken over.

    Raises:
        OSError: One of them cannot be had.
    """

    def __init__(self, places: Sequence[Places], before: Self | None = None) -> None:
        self._wanted = places
        self._held: dict[tuple[str, str], HeldPort] = {}
        kept = {} if before is None else before._held  # noqa: SLF001 - its own kind
        with ExitStack() as opened:
            for listener in dict.fromkeys(listener for place in places for listener in place.all()):
                if listener in kept:
                    self._held[listener] = kept[listener]
                elif before is None or not before.has(listener):
                    self._take(listener, opened)
            opened.pop_all()

    def has(self, listener: tuple[str, str]) -> bool:
        """Whether it is one of these."""
        return any(listener in place.all() for place in self._wanted)

    def of(self, worker: int) -> Places:
        """Where one worker listens, with the ports that are held."""
        wanted = self._wanted[worker]
        return Places(
            tuple(self._real(f"{GRPC_LISTEN}[{index}]", address) for index, address in enumerate(wanted.grpc)),
            None if wanted.health is None else self._real(HEALTH_LISTEN, wanted.health),
            None if wanted.admin is None else self._real(ADMIN_LISTEN, wanted.admin),
        )

    def close(self, but: Self | None = None) -> None:
        """Lets go of all, but of those that others have taken over."""
        for listener, port in self._held.items():
            if but is None or but._held.get(listener) is not port:  # noqa: SLF001 - its own kind
                port.close()

    def _take(self, listener: tuple[str, str], opened: ExitStack) -> None:
        name, address = listener
        key = name.partition("[")[0]
        parsed = parse_address(address)
        if isinstance(parsed, TcpAddress):
            self._held[listener] = port = HeldPort(parsed, key)
            opened.callback(port.close)
        else:
            SocketPath(Path(address.removeprefix(UNIX)), key=key)  # refuses the path of a live server

    def _real(self, name: str, address: str) -> str:
        held = self._held.get((name, address))
        return address if held is None else held.address


def _hold(held: socket.socket, host: str, port: int) -> int:
    if held.family == socket.AF_INET6:
        held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    # Connections of an earlier server that are still in TIME_WAIT are no reason to refuse.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((host, port))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound: int = held.getsockname()[1]
    return bound


def _resolve(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """The addresses that a host stands for on this machine, each once."""
    # A name may stand for IPv6 where there is none.
    flags = socket.AI_PASSIVE if _is_number(host) else socket.AI_PASSIVE | socket.AI_ADDRCONFIG
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys((family, str(where[0])) for family, _, _, _, where in found))


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
