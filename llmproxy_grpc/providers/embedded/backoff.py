"""How long to leave a process alone that keeps dying young."""

from collections.abc import Callable

YOUNG = 30.0
"""Seconds of life below which a death counts as early."""
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Seconds, as the first."""


class Backoff:
    """Lets the first restart through at once, and doubles the wait with each further one that did not live long.

    Args:
        clock: Gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._early_deaths = 0
        self._started_at = 0.0
        self._not_before = 0.0

    @property
    def wait(self) -> float:
        """Seconds until the next start is allowed; 0 if it is allowed now."""
        return max(0.0, self._not_before - self._clock())

    def started(self) -> None:
        """The process is being started."""
        self._started_at = self._clock()

    def ended(self) -> None:
        """The process has ended, or did not come up."""
        now = self._clock()
        self._early_deaths = self._early_deaths + 1 if now - self._started_at < YOUNG else 0
        doublings = min(self._early_deaths - 2, 10)
        self._not_before = now + min(FIRST_WAIT * 2.0**doublings, LONGEST_WAIT) if doublings >= 0 else now
