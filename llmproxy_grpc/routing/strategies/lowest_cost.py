"""By price: the target where the call will likely cost least comes first."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from llmproxy_grpc.messages import Cost, Usage
from llmproxy_grpc.pricing.cost import cost_of
from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.strategies.strategy import Means, Strategy


def lowest_cost(_weights: Mapping[Target, int], means: Means) -> Strategy:
    """Orders by the price of the prompt and of an answer of usual length; equals in the order written.

    Who has no known price comes last, and so does who bills in another currency than the first that has one: amounts
    of two currencies cannot be compared.
    """

    def order(targets: Sequence[Target], asked: Asked[Any, Any]) -> Sequence[Target]:
        usage = asked.usage
        if usage is None:
            return targets
        costs = {target: _cost(target, usage, means) for target in targets}
        currency = next((cost.currency_code for cost in costs.values() if cost is not None and cost.amount_nanos), "")

        def amount(target: Target) -> float:
            cost = costs[target]
            if cost is None or (cost.amount_nanos and cost.currency_code != currency):
                return math.inf
            return cost.amount_nanos

        return sorted(targets, key=amount)

    return order


def _cost(target: Target, usage: Usage, means: Means) -> Cost | None:
    price = means.quote(target.provider, target.upstream_model).price
    return None if price is None else cost_of(usage, price)
