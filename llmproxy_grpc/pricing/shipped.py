"""The table that ships: its vendors and rows, read once."""

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from llmproxy_grpc.config.schema import PriceConfig


class Vendor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who sends bills, or nobody if `free`."""

    hosts: tuple[str, ...] = ()
    """Where its prices hold, `*` for part of a name."""
    free: bool = False
    reports_cost: bool = False
    """Whether its answers say what the call was charged."""
    lists_prices: bool = False
    """Whether its list of models says what they cost, where no row does."""
    source: str = ""
    """Its own page of prices."""
    as_of: date | None = None
    """When the rows were last compared with what others read on that page."""


class Shipped(msgspec.Struct, frozen=True):
    """The whole table, and the day of its last change."""

    version: date
    vendors: Mapping[str, Vendor]
    rows: tuple[PriceConfig, ...]


@cache
def shipped() -> Shipped:
    """The table of this version; raises ValueError if the package is damaged."""
    text = files(__package__).joinpath("prices.yaml").read_text(encoding="utf-8")
    table: Any = msgspec.yaml.decode(text)
    return Shipped(
        table["version"],
        msgspec.convert(table["vendors"], Mapping[str, Vendor]),
        tuple(PriceConfig.model_validate(row) for row in table["rows"]),
    )
