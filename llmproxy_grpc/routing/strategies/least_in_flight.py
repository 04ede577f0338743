"""By load: the target with the fewest calls in flight for its weight comes first."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.strategies.strategy import Means, Strategy
from llmproxy_grpc.routing.strategies.weighted import drawn


def least_in_flight(weights: Mapping[Target, int], means: Means) -> Strategy:
    """Orders by calls in flight; equals by chance.

    A target that fails at once has never anything in flight: while it is held it comes last.
    """
    vitals = means.vitals

    def order(targets: Sequence[Target], _asked: Asked[Any, Any]) -> Sequence[Target]:
        now = vitals.clock()

        def load(target: Target) -> tuple[bool, float]:
            vital = vitals.of(target)
            return vital.held(now), (vital.in_flight + 1) / weights.get(target, 1)

        return sorted(drawn(targets, weights, means.chance), key=load)

    return order
