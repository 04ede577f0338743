"""What a strategy is: it orders the targets of one route that may answer a call."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from llmproxy_grpc.pricing.prices import Quote
from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.vitals import Vitals

Strategy = Callable[[Sequence[Target], Asked[Any, Any]], Sequence[Target]]
"""Gives the targets, two at least, in the order to try: all of them, each once.

They are those that can honour the call and may be tried now, in the order written.
"""


class Means(Struct, frozen=True):
    """What strategies go by.

    Attributes:
        vitals: How each target does.
        quote: What a target costs, by provider and upstream model.
        chance: Gives a number from 0 up to 1, never 1.
    """

    vitals: Vitals
    quote: Callable[[str, str], Quote]
    chance: Callable[[], float]


MakeStrategy = Callable[[Mapping[Target, int], Means], Strategy]
"""Makes the strategy of one route, of its targets' weights."""
