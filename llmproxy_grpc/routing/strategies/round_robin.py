"""In turn: of any so many calls in a row each target gets its share by weight, spread evenly."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.strategies.strategy import Means, Strategy


def round_robin(weights: Mapping[Target, int], _means: Means) -> Strategy:
    """Smooth weighted round robin.

    Each call gives every target credit by its weight; who has most serves, and pays what all of them were given. Those
    that cannot serve a call neither earn nor pay, so that none returns with debts or a claim to all calls at once.
    """
    credit: dict[Target, int] = {}

    def order(targets: Sequence[Target], _asked: Asked[Any, Any]) -> Sequence[Target]:
        given = 0
        for target in targets:
            weight = weights.get(target, 1)
            credit[target] = credit.get(target, 0) + weight
            given += weight
        ordered = sorted(targets, key=credit.__getitem__, reverse=True)
        credit[ordered[0]] -= given
        return ordered

    return order
