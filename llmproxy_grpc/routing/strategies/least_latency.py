"""By speed: of two targets drawn by weight, the one where a call will likely wait less for its first token.

Choosing the best of all would send every call there until that shows; the better of two spreads them, and still leaves
the worst alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.strategies.strategy import Means, Strategy
from llmproxy_grpc.routing.strategies.weighted import drawn
from llmproxy_grpc.routing.vitals import Vital

UNKNOWN: Final = 1.0
"""Seconds to the first token of a target that is not known, where none is."""


def least_latency(weights: Mapping[Target, int], means: Means) -> Strategy:
    """Weighted power of two choices over the time to the first token, for the calls in flight and this one."""
    vitals = means.vitals

    def order(targets: Sequence[Target], _asked: Asked[Any, Any]) -> Sequence[Target]:
        now = vitals.clock()
        known = {target: vitals.of(target) for target in targets}
        usual = _usual(known, now)
        costs = {
            target: (vital.held(now), _cost(vital, usual, weights.get(target, 1), now))
            for target, vital in known.items()
        }
        free = [target for target in targets if not costs[target][0]] or targets
        first = min(drawn(free, weights, means.chance)[:2], key=costs.__getitem__)
        others = sorted((target for target in targets if target is not first), key=costs.__getitem__)
        return [first, *others]

    return order


def _cost(vital: Vital, usual: float, weight: int, now: float) -> float:
    seconds = vital.seconds(now) if vital.known else max(usual, vital.seconds(now))
    return seconds * (vital.in_flight + 1) / weight


def _usual(known: Mapping[Target, Vital], now: float) -> float:
    """The mean of those that are known and serve: what to expect of one that is not."""
    seen = [vital.seconds(now) for vital in known.values() if vital.known and not vital.failures]
    return sum(seen) / len(seen) if seen else UNKNOWN
