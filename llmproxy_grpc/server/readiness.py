"""Whether this server takes new calls: starting, serving, draining or stopped, and told at once to whoever watches."""

from collections.abc import Callable
from enum import Enum


class Phase(Enum):
    """Where a server is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"


class Readiness:
    """The phase of the server; `changed` is called at every new one."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.phase = Phase.STARTING
        self._changed = changed

    def enter(self, phase: Phase) -> None:
        """Moves to a phase and tells it."""
        self.phase = phase
        self._changed()
