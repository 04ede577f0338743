"""What each target costs now: looked up once a day for each, and put on the usage of calls."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, structs

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import Price, Usage
from llmproxy_grpc.pricing.cost import cost_of
from llmproxy_grpc.pricing.table import PriceTable
from llmproxy_grpc.pricing.vendors import vendor_of

DAY: Final = 86_400
MOST_TARGETS: Final = 10_000
"""Callers may make names up, of models that no provider lists."""


class Quote(Struct, frozen=True):
    """What a target costs; `price` None if that is not known."""

    price: Price | None = None
    reported: bool = False
    """Whether the vendor says what a call was charged: its word goes before the price."""

    def put_on(self, usage: Usage) -> Usage:
        """The usage with its cost, or without one: an unknown price is no price, never zero."""
        if self.reported and usage.cost is not None:
            return usage
        cost = None if self.price is None else cost_of(usage, self.price)
        return usage if cost == usage.cost else structs.replace(usage, cost=cost)


UNKNOWN: Final = Quote()


class Prices:
    """Quotes for the targets of one configuration.

    Args:
        table: The price table.
        providers: Every provider.
        clock: The time of day, in seconds since 1970.
    """

    def __init__(
        self, table: PriceTable, providers: Iterable[ProviderConfig], clock: Callable[[], float] = time.time
    ) -> None:
        self._table = table
        self._vendors = {provider.name: vendor_of(provider, table.vendors) for provider in providers}
        self._clock = clock
        self._day = 0
        self._quotes: dict[tuple[str, str], Quote] = {}

    def quote(self, provider: str, upstream_model: str) -> Quote:
        """What a target costs now."""
        day = int(self._clock() // DAY)
        if day != self._day or len(self._quotes) >= MOST_TARGETS:
            self._day = day
            self._quotes.clear()  # prices change at midnight
        quote = self._quotes.get((provider, upstream_model))
        if quote is None:
            quote = self._quotes[provider, upstream_model] = self._look_up(provider, upstream_model)
        return quote

    def _look_up(self, provider: str, upstream_model: str) -> Quote:
        vendor = self._vendors.get(provider, "")
        known = self._table.vendors.get(vendor)
        today = datetime.fromtimestamp(self._day * DAY, UTC).date()
        return Quote(
            self._table.price(vendor, upstream_model, today), reported=known is not None and known.reports_cost
        )
