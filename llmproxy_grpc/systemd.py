"""Tells a service manager how the server is, by the protocol of systemd's sd_notify: small datagrams to a socket."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress


class Notifier:
    """Tells the service manager that started this process, if one did that wants to know.

    Args:
        environ: Says where (`NOTIFY_SOCKET`), and how often a sign of life is wanted (`WATCHDOG_USEC`).
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        wanted = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environ.get("WATCHDOG_USEC", "")
        self._interval = int(microseconds) / 1e6 if wanted and microseconds.isdecimal() else 0.0

    def ready(self) -> None:
        """It serves."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """It drains."""
        self._tell("STOPPING=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """It reads its configuration again while the block runs, and serves on."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            yield
        finally:
            self.ready()

    async def watch(self) -> None:
        """Gives signs of life, twice as often as wanted, as long as the event loop runs; returns if none is wanted."""
        while self._interval:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._interval / 2)

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        # An address that begins with @ is no path, but a name that only the kernel knows.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # A service manager that does not listen is no reason to fail.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)  # noqa: FBT003 - the standard library's
            sender.sendto(text.encode(), address)
