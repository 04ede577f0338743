"""Addresses to listen on: `HOST:PORT` or `unix:PATH`."""

import ipaddress
import os
import re
from typing import Final

from msgspec import Struct

UNIX: Final = "unix:"
"""What stands before the path of a socket in the file system."""

WORKER: Final = "{worker}"
"""Stands in an address for the worker's number."""

LONGEST_UNIX_PATH: Final = 107
"""Bytes that the kernel has room for."""

_TCP: Final = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")


class TcpAddress(Struct, frozen=True):
    """A host without brackets, and a port; port 0 asks for a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def clashes_with(self, other: "TcpAddress") -> bool:
        """Whether both ask for one port of one interface."""
        hosts = {self.host, other.host}
        return self.port == other.port != 0 and (len(hosts) == 1 or not hosts.isdisjoint(("0.0.0.0", "::")))


class UnixAddress(Struct, frozen=True):
    """A socket in the file system."""

    path: str

    @property
    def is_loopback(self) -> bool:
        """Always: only this machine can reach it."""
        return True

    def __str__(self) -> str:
        return f"{UNIX}{self.path}"

    def clashes_with(self, other: "UnixAddress") -> bool:
        """Whether both are the same path."""
        return self.path == other.path


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Reads an address; raises ValueError saying what is wrong with it."""
    if text.startswith(UNIX):
        return _unix(text.removeprefix(UNIX))
    form = _TCP.fullmatch(text)
    if form is None:
        raise ValueError("must be HOST:PORT, [IPV6]:PORT or unix:PATH")
    if int(form["port"]) > 65535:
        raise ValueError("must have a port from 0 to 65535")
    return TcpAddress(_ipv6(form["ipv6"]) if form["ipv6"] else form["host"], int(form["port"]))


def of_worker(text: str, number: int) -> str:
    """A worker's own address; raises ValueError saying what is wrong with it."""
    return str(parse_address(text.replace(WORKER, str(number))))


def is_loopback(host: str) -> bool:
    """Whether a host name or IP address is this machine's own; of the names, only localhost is."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def clash(one: Address, other: Address) -> bool:
    """Whether two listeners cannot have both addresses."""
    if isinstance(one, TcpAddress):
        return isinstance(other, TcpAddress) and one.clashes_with(other)
    return isinstance(other, UnixAddress) and one.clashes_with(other)


def _unix(path: str) -> UnixAddress:
    path = path.removeprefix("//")
    if not path or path.endswith("/") or not path.isprintable():
        raise ValueError("must name a socket's path behind unix:")
    if len(os.fsencode(path)) > LONGEST_UNIX_PATH:
        raise ValueError(f"must be a path of at most {LONGEST_UNIX_PATH} bytes; the kernel has no room for more")
    return UnixAddress(path)


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError("must have an IPv6 address between the brackets") from None
