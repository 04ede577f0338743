"""Probes the providers that no call has told anything of for a while, each at times of its own."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

import structlog

log = structlog.get_logger(__name__)

QUIET: Final = 60.0
"""Seconds without a call to a provider after which probes stand in: calls tell more, and cost nothing extra."""
JITTER: Final = 0.2
"""How much sooner or later than its interval a probe goes, as a share: replicas that began together drift apart."""
LOOK: Final = 1.0
"""Most seconds between two looks at what is due: providers and the interval may change at any time."""


class Monitor:
    """Keeps evidence of every provider fresh; it never probes one while a call or another probe is telling of it.

    Args:
        providers: The providers to look after, by name.
        last_traffic: When a provider had a call last, by the clock; None if never.
        probe: Probes providers and records what comes out; it is for `probe` to bound the time.
        interval: Seconds between two probes of one provider.
        clock: Monotonic seconds.
        chance: Gives a number from 0 to 1.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        *,
        providers: Callable[[], Collection[str]],
        last_traffic: Callable[[str], float | None],
        probe: Callable[[Sequence[str]], Awaitable[None]],
        interval: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._providers = providers
        self._last_traffic = last_traffic
        self._probe = probe
        self._interval = interval
        self._clock = clock
        self._chance = chance
        self._sleep = sleep
        self._due: dict[str, float] = {}
        self._running: set[str] = set()

    async def run(self) -> None:
        """Probes until it is cancelled."""
        async with asyncio.TaskGroup() as probes:
            while True:
                for name in self.due():
                    # Each on its own: one that does not answer must not hold up the others.
                    probes.create_task(self._probe_one(name))
                await self._sleep(min(LOOK, self._interval() / 4))

    def postpone(self, name: str) -> None:
        """Somebody else has probed a provider: its next time is counted from now."""
        self._due[name] = self._clock() + self._jittered(self._interval())

    def due(self) -> list[str]:
        """The providers whose time has come and of which no call tells; their next time is set."""
        now, interval = self._clock(), self._interval()
        names = set(self._providers())
        self._due = {name: due for name, due in self._due.items() if name in names}
        found = []
        for name in sorted(names):
            due = self._due.get(name)
            if due is None or due > now + interval * (1 + JITTER):  # new, or the interval is shorter now
                due = now + self._jittered(interval)
            if due <= now:
                due = now + self._jittered(interval)
                if name not in self._running and self._is_quiet(name, now):
                    found.append(name)
            self._due[name] = due
        return found

    async def _probe_one(self, name: str) -> None:
        """One probe; a fault of one provider's code must not end those of the others."""
        self._running.add(name)
        try:
            await self._probe([name])
        except Exception as error:  # noqa: BLE001 - kinds from outside may raise anything
            log.error("bug", provider=name, error=type(error).__qualname__)
        finally:
            self._running.discard(name)

    def _is_quiet(self, name: str, now: float) -> bool:
        last = self._last_traffic(name)
        return last is None or now - last >= QUIET

    def _jittered(self, interval: float) -> float:
        return interval * (1 + JITTER * (2 * self._chance() - 1))
