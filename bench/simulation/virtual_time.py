"""An event loop whose time does not pass: instead of waiting for a timer, it goes to the moment when that is due."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """Everything waits, and nothing will ever happen."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what waits for timers and for itself alone: no sockets, no threads, no processes."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Leap(self._leap))

    def time(self) -> float:
        """Seconds since the loop was made, of its own time."""
        return self._now

    def _leap(self, seconds: float) -> None:
        self._now += seconds


class _Leap(selectors.DefaultSelector):
    """A selector that lets time pass where others wait."""

    def __init__(self, leap: Callable[[float], None]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> Any:
        """What is ready now; time passes by `timeout`."""
        if timeout is None:
            raise Stuck
        self._leap(max(0.0, timeout))
        return super().select(0)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end, in no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
