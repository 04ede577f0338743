"""How late the event loop runs: a tick that should come on time, and how late it came."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

TICK: Final = 0.1
"""Seconds between two looks."""
SAMPLES: Final = 100
TICKS: Final = 10
"""Looks of a second."""


class LoopLag:
    """Measures the event loop for the last ten seconds.

    Args:
        tell: Told the 99th percentile in seconds, once a second.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        tell: Callable[[float], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._late: deque[float] = deque(maxlen=SAMPLES)

    @property
    def p99(self) -> float:
        """The 99th percentile of the last ten seconds, in seconds."""
        return sorted(self._late)[math.ceil(len(self._late) * 0.99) - 1] if self._late else 0.0

    def last_second(self) -> tuple[float, float]:
        """The 99th percentile of the last second, and the least, in seconds: a hiccup, and a state."""
        latest = list(self._late)[-TICKS:]
        return (max(latest), min(latest)) if len(latest) == TICKS else (0.0, 0.0)

    async def run(self) -> None:
        """Measures until it is cancelled."""
        ticks = 0
        while True:
            due = self._clock() + TICK
            await self._sleep(TICK)
            self._late.append(max(0.0, self._clock() - due))
            ticks += 1
            if ticks % TICKS == 0:
                self._tell(self.p99)
