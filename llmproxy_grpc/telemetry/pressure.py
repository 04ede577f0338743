"""Whether the process itself has trouble, and which calls it refuses until that is over."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from llmproxy_grpc.calls import Criticality
from llmproxy_grpc.config.schema import SheddingConfig

LOOK: Final = 0.1
"""Seconds between two looks."""
STANDING: Final = 2.5
"""How many times `loop_lag` every tick of a second must be late for critical calls to be refused: no hiccup is."""
LAST_RESERVE: Final = 2 / 3
"""What share of the memory above `memory` may fill before everybody is refused."""


class Pressure:
    """Says which calls are refused; the answer is kept ready, since every call asks.

    Args:
        lag: How late the event loop ran in the last second, in seconds: nearly at worst, and at best.
        memory: How full the memory is, from 0 to 1.
        config: When to refuse.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        *,
        lag: Callable[[], tuple[float, float]],
        memory: Callable[[], float],
        config: Callable[[], SheddingConfig],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._lag = lag
        self._memory = memory
        self._config = config
        self._sleep = sleep
        self.least: int = Criticality.SHEDDABLE
        """The least criticality that is admitted; above CRITICAL_PLUS, nobody is."""
        self.cause = ""
        """Why more is not: `loop_lag` or `memory`."""

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            self.look()
            await self._sleep(LOOK)

    def look(self) -> None:
        """Looks how things are."""
        config = self._config()
        by_lag, by_memory = self._by_lag(config.loop_lag), self._by_memory(config.memory)
        self.least = max(by_lag, by_memory)
        self.cause = ("memory" if by_memory >= by_lag else "loop_lag") if self.least else ""

    def _by_lag(self, most: float | None) -> int:
        if most is None:
            return Criticality.SHEDDABLE
        worst, best = self._lag()
        if best > most * STANDING:
            return Criticality.CRITICAL_PLUS
        return Criticality.CRITICAL if worst > most else Criticality.SHEDDABLE

    def _by_memory(self, most: float | None) -> int:
        if most is None:
            return Criticality.SHEDDABLE
        level = self._memory()
        if level >= most + (1 - most) * LAST_RESERVE:
            return Criticality.CRITICAL_PLUS + 1
        return Criticality.CRITICAL if level >= most else Criticality.SHEDDABLE
