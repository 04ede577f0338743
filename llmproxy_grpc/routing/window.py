"""A sum over the last seconds, in steps of one, by which old amounts fall out by themselves."""

from typing import Final

SECONDS: Final = 10
"""How long an amount counts, unless otherwise said."""


class Window:
    """Adds up amounts; `now` is a monotonic time in seconds that never goes back.

    Args:
        seconds: How long an amount counts.
    """

    __slots__ = ("_second", "_seconds", "_steps", "_total")

    def __init__(self, seconds: int = SECONDS) -> None:
        self._seconds = seconds
        self._steps = [0.0] * seconds
        self._second = 0
        self._total = 0.0

    def add(self, amount: float, now: float) -> None:
        """Adds an amount, which may be negative."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        self._steps[second % self._seconds] += amount
        self._total += amount

    def total(self, now: float) -> float:
        """The sum of what was added in these last seconds, the current one included."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        return self._total

    def clear(self) -> None:
        """Forgets everything."""
        self._steps = [0.0] * self._seconds
        self._total = 0.0

    def _turn(self, second: int) -> None:
        passed = min(second - self._second, self._seconds)
        for step in range(second - passed + 1, second + 1):
            self._steps[step % self._seconds] = 0.0
        self._second = second
        # Summed up anew, so that rounding errors do not add up over the weeks.
        self._total = sum(self._steps)
