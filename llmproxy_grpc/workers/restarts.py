"""How long a supervisor waits before it starts a worker again, and when it calls for help."""

from collections import deque
from collections.abc import Callable
from typing import Final

SHORTEST: Final = 0.5
LONGEST: Final = 30.0
"""Seconds before a restart: the first time, and after many deaths in a row."""
MEMORY: Final = 60.0
"""Seconds that a death counts."""
ALARM: Final = 5
"""Deaths within that time that call for help."""


class Restarts:
    """Counts the deaths of one worker's successors.

    Args:
        clock: Monotonic seconds.
        random: Evenly from 0 to 1.
    """

    def __init__(self, clock: Callable[[], float], random: Callable[[], float]) -> None:
        self._clock = clock
        self._random = random
        self._deaths: deque[float] = deque(maxlen=64)
        self._in_a_row = 0

    def delay(self) -> float:
        """Takes note of a death; gives the seconds to wait, jittered: doubled each time until a minute is without."""
        now = self._clock()
        if self._deaths and now - self._deaths[-1] > MEMORY:
            self._in_a_row = 0
        self._deaths.append(now)
        longest = min(LONGEST, SHORTEST * 2.0**self._in_a_row)
        self._in_a_row = min(self._in_a_row + 1, 16)
        return longest * (0.5 + self._random() / 2)

    @property
    def alarming(self) -> bool:
        """Whether it dies so often that somebody should look."""
        return sum(1 for death in self._deaths if self._clock() - death <= MEMORY) >= ALARM
