"""A trouble that counts only once it has lasted, and until it has been gone for a while: nobody acts on what flaps."""

from collections.abc import Callable
from typing import Final

AFTER: Final = 10.0
"""Seconds of trouble after which it counts: another replica should get the calls."""
QUIET: Final = 5.0
"""Seconds without it after which it counts no longer."""


class Lasting:
    """Looks at something, as often as it is asked to.

    Args:
        troubled: Whether there is trouble now.
        clock: Monotonic seconds.
    """

    def __init__(self, troubled: Callable[[], bool], clock: Callable[[], float]) -> None:
        self._troubled = troubled
        self._clock = clock
        self._counts = False
        self._changing_since: float | None = None

    def look(self) -> bool:
        """Whether the trouble counts now."""
        if self._troubled() is self._counts:
            self._changing_since = None
            return self._counts
        now = self._clock()
        if self._changing_since is None:
            self._changing_since = now
        if now - self._changing_since > (QUIET if self._counts else AFTER):
            self._counts, self._changing_since = not self._counts, None
        return self._counts
