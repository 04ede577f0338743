"""What each target costs now: looked up once a day for each, and put on the usage of calls."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, structs

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import Price, Usage
from llmproxy_grpc.pricing.cost import cost_of
from llmproxy_grpc.pricing.shipped import Vendor
from llmproxy_grpc.pricing.table import FREE, PriceTable
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
        # A wrong price is worse than none; what is free is so at any rates.
        price = None if usage.at_other_rates and self.price != FREE else self.price
        cost = None if price is None else cost_of(usage, price)
        return usage if cost == usage.cost else structs.replace(usage, cost=cost)


UNKNOWN: Final = Quote()


class Prices:
    """Quotes for the targets of one configuration.

    Args:
        table: The price table.
        providers: Every provider.
        listed: What a provider's own list says that a model costs.
        clock: The time of day, in seconds since 1970.
    """

    def __init__(
        self,
        table: PriceTable,
        providers: Iterable[ProviderConfig],
        *,
        listed: Callable[[str, str], Price | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._vendors = {provider.name: vendor_of(provider, table.vendors) for provider in providers}
        self._listed = listed
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
        if quote is not None:
            return quote
        name = self._vendors.get(provider, "")
        vendor = self._table.vendors.get(name, Vendor())
        price = self._table.price(name, upstream_model, datetime.fromtimestamp(day * DAY, UTC).date())
        if price is None and vendor.lists_prices:
            # Not kept: the list is refreshed more often than once a day.
            return Quote(self._listed(provider, upstream_model), vendor.reports_cost)
        quote = self._quotes[provider, upstream_model] = Quote(price, vendor.reports_cost)
        return quote
