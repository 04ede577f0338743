"""Puts the candidates of a route in order: by its strategy, or by the lots of a sticky conversation."""

from collections.abc import Sequence
from typing import Final

from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.candidate import Candidate, Group
from llmproxy_grpc.routing.operations import Answer, Request
from llmproxy_grpc.routing.stickiness import by_lot
from llmproxy_grpc.routing.strategies.strategy import Means, Strategy
from llmproxy_grpc.routing.strategies.table import STRATEGIES

STEADY: Final = frozenset({"priority", "lowest_cost"})
"""Strategies that keep a conversation with its target by themselves, and whose order is the point of them."""


class Ordering:
    """The strategies of all routes, each with what it remembers.

    Args:
        means: What strategies go by.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        self._strategies: dict[str, Strategy] = {}

    def order(self, group: Group[Request], asked: Asked[Request, Answer]) -> Sequence[Candidate[Request]]:
        """The candidates of one route in the order to try."""
        candidates, route = group.candidates, group.route
        if len(candidates) < 2:
            return candidates
        by_target = {candidate.target: candidate for candidate in candidates}
        targets = tuple(by_target)
        if route.sticky and route.strategy not in STEADY and asked.conversation:
            ordered = by_lot(targets, route.weights, asked.conversation)
        else:
            strategy = self._strategies.get(route.model)
            if strategy is None:
                strategy = STRATEGIES[route.strategy](route.weights, self._means)
                self._strategies[route.model] = strategy
            ordered = strategy(targets, asked)
        return [by_target[target] for target in ordered]
