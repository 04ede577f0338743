"""The order in which a route's targets are tried: one function a strategy, and the table that names them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from llmproxy_grpc.routing.catalog import Target

Strategy = Callable[[Sequence[Target]], Sequence[Target]]


def priority(targets: Sequence[Target]) -> Sequence[Target]:
    """As configured: the first that serves answers."""
    return targets


STRATEGIES: Final[Mapping[str, Strategy]] = {"priority": priority}
