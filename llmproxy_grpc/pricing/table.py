"""The price table: what a model of a vendor costs on a day, the operator's rows before those that ship."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from llmproxy_grpc.config.schema import PriceConfig, RatesConfig
from llmproxy_grpc.messages import Price, PriceTier, Rates
from llmproxy_grpc.pricing.shipped import Shipped, Vendor

FREE: Final = Price("USD", Rates(input=0, output=0, cached_input=0, cache_write=0, cache_write_1h=0, audio_input=0))
"""What nobody sends a bill for; nothing is nothing in any currency."""

_NANOS: Final = Decimal(1_000_000_000)
# What vendors put behind a model's name to fix it: a date, never a word or a number of a version.
_SNAPSHOT: Final = re.compile(r"(?:-[0-9]{4}-[0-9]{2}-[0-9]{2}|[-@][0-9]{8})\Z")


class PriceTable:
    """Looks prices up by vendor and upstream model.

    Args:
        shipped: The table that ships.
        rows: The operator's rows: for the models that they name they take the place of all that ships.
    """

    def __init__(self, shipped: Shipped, rows: Sequence[PriceConfig] = ()) -> None:
        self.vendors: Final[Mapping[str, Vendor]] = shipped.vendors
        self._prices = _index(shipped.rows) | _index(rows)

    def knows(self, vendor: str) -> bool:
        """Whether there is such a vendor."""
        return vendor in self.names()

    def names(self) -> list[str]:
        """All vendors, in order."""
        return sorted({*self.vendors, *(vendor for vendor, _ in self._prices)})

    def price(self, vendor: str, upstream_model: str, day: date) -> Price | None:
        """The price on a day, in UTC; None if it is not known.

        A row that names the model itself goes before one that names what it is a dated snapshot of.
        """
        for name in _names(upstream_model):
            dated = self._prices.get((vendor, name))
            if dated is not None:
                return next((price for since, price in dated if since <= day), None)
        known = self.vendors.get(vendor)
        return FREE if known is not None and known.free else None


def _index(rows: Sequence[PriceConfig]) -> dict[tuple[str, str], list[tuple[date, Price]]]:
    """The prices of each vendor's model, the latest first."""
    found: dict[tuple[str, str], list[tuple[date, Price]]] = {}
    for row in rows:
        for model in row.models:
            found.setdefault((row.vendor, model), []).append((row.since or date.min, _price(row)))
    for dated in found.values():
        dated.sort(key=lambda entry: entry[0], reverse=True)
    return found


def _names(upstream_model: str) -> Iterator[str]:
    yield upstream_model
    snapshot = _SNAPSHOT.search(upstream_model)
    if snapshot is not None:
        yield upstream_model[: snapshot.start()]


def _price(row: PriceConfig) -> Price:
    tiers = tuple(PriceTier(tier.above, _rates(tier)) for tier in row.tiers)
    return Price(row.currency, _rates(row), tiers)


def _rates(row: RatesConfig) -> Rates:
    """The rates in billionths; what a row does not say costs what its neighbour costs."""
    written = row.input if row.cache_write is None else row.cache_write
    return Rates(
        input=_nanos(row.input),
        output=_nanos(row.output),
        cached_input=_nanos(row.input if row.cached_input is None else row.cached_input),
        cache_write=_nanos(written),
        cache_write_1h=_nanos(written if row.cache_write_1h is None else row.cache_write_1h),
        audio_input=_nanos(row.input if row.audio_input is None else row.audio_input),
    )


def _nanos(amount: Decimal) -> int:
    return int(amount * _NANOS)
