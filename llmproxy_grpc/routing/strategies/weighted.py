"""By chance: each target comes first in the share of the calls that its weight says."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.strategies.strategy import Means, Strategy


def weighted(weights: Mapping[Target, int], means: Means) -> Strategy:
    """Draws one target after the other, by weight among those that are left."""

    def order(targets: Sequence[Target], _asked: Asked[Any, Any]) -> Sequence[Target]:
        return drawn(targets, weights, means.chance)

    return order


def drawn(targets: Sequence[Target], weights: Mapping[Target, int], chance: Callable[[], float]) -> Sequence[Target]:
    """Orders targets as drawing them by weight, without putting them back, would.

    Each waits for a time whose rate is its weight; whoever comes first was drawn first.
    """
    waits = {target: -math.log(1 - chance()) / weights.get(target, 1) for target in targets}
    return sorted(targets, key=waits.__getitem__)
