"""Leaves out targets that do much worse than the others of their model, though not badly enough to open a circuit."""

from collections.abc import Callable, Sequence
from random import Random
from statistics import fmean, pstdev
from typing import Final

from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.circuit import Line

BETWEEN_SWEEPS: Final = 10.0
FEWEST_TARGETS: Final = 3
FEWEST_CALLS: Final = 20
"""Calls between two sweeps before a target is judged, and targets so judged before any is compared with the others."""
DEVIATIONS: Final = 1.9
SMALLEST_DEVIATION: Final = 0.05
"""Others that all do the same would make an outlier of one that is hardly worse."""
GOOD_ENOUGH: Final = 0.85
EJECTION: Final = 30.0
LONGEST_EJECTION: Final = 300.0
JITTER: Final = (0.8, 1.2)


class Outliers:
    """Looks through the targets of each model, every ten seconds of traffic.

    A target is compared with the others alone: among three or four, no target could be 1.9 deviations from a mean that
    it has a part in.

    Args:
        groups: The targets of each model.
        random: Spreads the returns.
    """

    def __init__(self, groups: Sequence[Sequence[Target]], random: Random) -> None:
        self._groups = [group for group in groups if len(group) >= FEWEST_TARGETS]
        self._random = random
        self._next_at = 0.0

    def due(self, now: float) -> bool:
        """Whether it is time for a sweep."""
        return now >= self._next_at and bool(self._groups)

    def sweep(self, line: Callable[[Target], Line], now: float) -> Sequence[Target]:
        """Looks through all groups; gives the targets that are left out from now on, each for the time in its line."""
        self._next_at = now + BETWEEN_SWEEPS  # of traffic, so that no two processes keep step
        ejected = [target for group in self._groups for target in self._worst(group, line, now)]
        for target in {target for group in self._groups for target in group}:
            it = line(target)
            if target in ejected:
                self._eject(it, now)
            elif now >= it.ejected_until:
                it.ejections = max(0, it.ejections - 1)
            it.calls = it.failures = 0
        return ejected

    def _worst(self, group: Sequence[Target], line: Callable[[Target], Line], now: float) -> Sequence[Target]:
        """The outliers of a group, at most as many as leave half of it."""
        rates = {target: 1 - it.failures / it.calls for target in group if (it := line(target)).calls >= FEWEST_CALLS}
        if len(rates) < FEWEST_TARGETS:
            return ()
        outliers = sorted((target for target in rates if _stands_out(target, rates)), key=lambda target: rates[target])
        out = sum(now < line(target).ejected_until for target in group)
        return outliers[: max(0, len(group) // 2 - out)]

    def _eject(self, line: Line, now: float) -> None:
        line.ejections += 1
        seconds = min(LONGEST_EJECTION, EJECTION * line.ejections)
        line.ejected_until = now + seconds * self._random.uniform(*JITTER)


def _stands_out(target: Target, rates: dict[Target, float]) -> bool:
    others = [rate for other, rate in rates.items() if other != target]
    least = fmean(others) - DEVIATIONS * max(pstdev(others), SMALLEST_DEVIATION)
    return rates[target] < min(least, GOOD_ENOUGH)
