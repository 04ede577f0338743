"""Whether this server takes new calls: starting, serving, draining or stopped, and told at once to whoever watches."""

import asyncio
from enum import Enum


class Phase(Enum):
    """Where a server is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"


class Readiness:
    """The phase of the server; watchers wait for the next change."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self._changed = asyncio.Event()

    def enter(self, phase: Phase) -> None:
        """Moves to a phase and wakes every watcher."""
        self.phase = phase
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, timeout: float) -> None:  # noqa: ASYNC109 - a poll with an early wake-up, no time limit
        """Waits until the phase changes, `timeout` seconds at most."""
        changed = self._changed
        try:
            async with asyncio.timeout(timeout):
                await changed.wait()
        except TimeoutError:
            return
