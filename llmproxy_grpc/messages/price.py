"""What tokens cost: rates in billionths of the currency's unit for a million tokens."""

from msgspec import Struct


class Rates(Struct, frozen=True, kw_only=True):
    """One rate for each kind of token; cached and written tokens are prompt tokens that cost differently."""

    input: int
    output: int
    cached_input: int
    cache_write: int
    cache_write_1h: int
    """For what the provider keeps for an hour."""
    audio_input: int


class PriceTier(Struct, frozen=True):
    """The rates of a whole call whose prompt has more tokens than `above`."""

    above: int
    rates: Rates


class Price(Struct, frozen=True):
    """The price of one model; of `tiers`, which ascend, the last one that a prompt exceeds holds."""

    currency_code: str
    rates: Rates
    tiers: tuple[PriceTier, ...] = ()
