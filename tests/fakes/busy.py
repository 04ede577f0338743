"""Finds what keeps the event loop busy for too long: every callback of it is timed by the CPU that it takes.

By CPU rather than by the clock, so that a busy machine is no finding; the garbage collector's part is left out.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from blockbuster import BlockBuster

LIMIT = 0.010
"""Seconds of CPU that one callback of the event loop may take: the promise."""
SLACK = 10 if sys.gettrace() is None else 30
"""How many times that tests allow: ten, since machines differ, and three times that while coverage is measured."""
FOREIGN = ("/tests/", "/pytest_asyncio/", "/_pytest/", "/grpc/aio/_call.py")
"""Whose tasks are not the server's: tests, and the clients that share their loop."""
START = "app.py:App.run"
"""Builds everything before anybody is served."""


class Busy:
    """Remembers the callback that took longest."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.name = ""
        self._collecting = 0.0
        self._collected = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Times every callback of every loop of this thread."""
        original = asyncio.Handle._run

        def run(handle: asyncio.Handle) -> None:
            collected, began = self._collected, time.thread_time()
            try:
                original(handle)
            finally:
                spent = time.thread_time() - began - (self._collected - collected)
                if spent > self.longest:
                    self._note(spent, handle)

        asyncio.Handle._run = run  # type: ignore[method-assign]
        gc.callbacks.append(self._on_collection)
        try:
            yield
        finally:
            asyncio.Handle._run = original  # type: ignore[method-assign]
            gc.callbacks.remove(self._on_collection)

    def _note(self, spent: float, handle: asyncio.Handle) -> None:
        name = _name(handle)
        if name is not None and name != START:
            self.longest, self.name = spent, name

    def _on_collection(self, phase: str, _info: Any) -> None:
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting


@contextmanager
def no_waiting() -> Iterator[None]:
    """Lets every wait of the server's own code raise that holds the loop: for a socket, a database, or time.

    Files are left alone: configuration, prices and certificates are read where they are needed, from the disk at hand.
    So are locks: gRPC takes some whenever the garbage collector comes.
    """
    found = BlockBuster("llmproxy_grpc")
    for name, function in found.functions.items():
        if name.startswith(("time.", "socket.", "ssl.", "sqlite3.")):
            function.activate()
    try:
        yield
    finally:
        found.deactivate()


def _name(handle: asyncio.Handle) -> str | None:
    """What a callback runs; None if it is none of the server's."""
    task = getattr(handle._callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return repr(handle._callback)
    coroutine = task.get_coro()
    code = getattr(coroutine, "cr_code", None)
    file = code.co_filename if code is not None else ""
    if any(part in file for part in FOREIGN):
        return None
    return f"{file.rpartition('/')[2]}:{getattr(coroutine, '__qualname__', repr(coroutine))}"
