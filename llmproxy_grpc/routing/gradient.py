"""How many attempts a provider can take at a time, learned from how long its first tokens take."""

from collections.abc import Hashable
from typing import Final

START: Final = 20.0
LEAST: Final = 4.0
MOST: Final = 256.0
QUEUE: Final = 4.0
"""Attempts beyond the limit so far that a provider which keeps its pace is tried with."""
SMOOTHING: Final = 0.2
"""How much of a new limit one sample brings."""
SHORT: Final = 20
"""Samples that the time of late is made of: single ones scatter by more than any queue would add."""
LONG: Final = 600
"""Samples that the usual time is made of."""
INERTIA: Final = 50
"""How many times less the usual time follows upwards than downwards."""
TOLERANCE: Final = 1.5
"""How many times the usual time the time of late may be before it counts as slower."""
STEEPEST: Final = 0.5
DROP: Final = 0.9


class Gradient:
    """A limit that follows the gradient between the usual time and that of late.

    Slower than usual means that a queue forms at the provider: the limit falls, by half at most. At the usual pace it
    grows, if it is used. A refusal lowers it at once. Times of different kinds, such as those to a stream's first token
    and those of whole answers, are compared each with its own kind.
    """

    def __init__(self) -> None:
        self._limit = START
        self._paces: dict[Hashable, _Pace] = {}

    @property
    def limit(self) -> int:
        """Attempts that may be in flight."""
        return int(self._limit)

    def took(self, seconds: float, in_flight: int, kind: Hashable = None) -> None:
        """Takes what an attempt took, and how many were in flight with it."""
        pace = self._paces.get(kind)
        if pace is None:
            pace = self._paces[kind] = _Pace()
        slowness = pace.slowness(seconds)
        if in_flight < self._limit / 2:
            return  # what is not used says nothing about whether more would do
        gradient = max(STEEPEST, min(1.0, TOLERANCE / slowness)) if slowness > 0 else 1.0
        wanted = self._limit * gradient + QUEUE
        self._set(self._limit * (1 - SMOOTHING) + wanted * SMOOTHING)

    def refused(self) -> None:
        """The provider said that it has too much to do."""
        self._set(self._limit * DROP)

    def _set(self, limit: float) -> None:
        self._limit = max(LEAST, min(MOST, limit))


class _Pace:
    """The time of late and the usual one, which follows it, upwards far more slowly than downwards.

    Else a queue that stands at the provider would soon be what is usual, and the limit would grow with it.
    """

    def __init__(self) -> None:
        self._late = 0.0
        self._usual = 0.0
        self._count = 0

    def slowness(self, sample: float) -> float:
        """Takes a sample; how many times the usual time the time of late is."""
        self._count = min(self._count + 1, LONG)
        # 2 / (n + 1) is the weight at which an exponential average is as old as a plain one of n samples.
        self._late += (sample - self._late) * max(1 / self._count, 2 / (SHORT + 1))
        weight = max(1 / self._count, 2 / (LONG + 1))
        if self._late > self._usual and self._count > SHORT:
            weight /= INERTIA
        self._usual += (self._late - self._usual) * weight
        return self._late / self._usual if self._usual > 0 else 0.0
