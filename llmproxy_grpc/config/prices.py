"""The rows of a price table: what the section `prices` and the table that ships say of a model."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from llmproxy_grpc.config.scalars import number_in
from llmproxy_grpc.config.section import File, Section, Text, Whole

FINEST: Final = Decimal("1e-9")
MOST: Final = Decimal(1_000_000)
"""A million for a million tokens: whatever is more is a slip of the pen, and would not fit the API's 64 bits."""


def _amount(value: object) -> Decimal:
    """A number as it was written: the shortest decimal that a float stands for."""
    number = number_in(value)
    if isinstance(number, int | float) and not isinstance(number, bool):
        number = Decimal(str(number))
    if not isinstance(number, Decimal) or not _is_amount(number):
        raise ValueError(f"must be a number from 0 to {MOST}, with nine decimal places at most")
    return number


def _is_amount(number: Decimal) -> bool:
    return number.is_finite() and 0 <= number <= MOST and number % FINEST == 0


def _date(value: object) -> object:
    if value is None or isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a date, such as 2026-12-31")  # noqa: TRY004 - pydantic collects ValueErrors alone
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date, such as 2026-12-31") from None


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("names a model twice")
    return names


Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": int(MOST)}),
]
"""Units of the currency for a million tokens, to the billionth."""


class RatesConfig(Section):
    """What a million tokens cost, in units of the currency."""

    input: Annotated[Amount, Field(description="What a million prompt tokens cost, in units of the currency.")]
    output: Annotated[
        Amount, Field(description="The same for generated tokens, thinking included; 0 for embedding models.")
    ]
    cached_input: Annotated[
        Amount | None, Field(description="For prompt tokens read from the vendor's cache; null: as `input`.")
    ] = None
    cache_write: Annotated[Amount | None, Field(description="For prompt tokens written to it; null: as `input`.")] = (
        None
    )
    cache_write_1h: Annotated[
        Amount | None, Field(description="For those that are kept for an hour; null: as `cache_write`.")
    ] = None
    audio_input: Annotated[Amount | None, Field(description="For prompt tokens of sound; null: as `input`.")] = None


class TierConfig(RatesConfig):
    """The rates of a call with a long prompt; they hold for the whole call."""

    above: Annotated[Whole, Field(ge=1, le=2**31 - 1, description="For prompts of more tokens than this.")]


class PricedConfig(Section):
    """Which models have a price, from when on, and in which currency."""

    vendor: Annotated[
        Text, Field(description="Who sends the bill: a preset, a kind, or what `providers[].prices` names.")
    ]
    models: Annotated[
        tuple[Text, ...],
        AfterValidator(_once),
        Field(min_length=1, description="Its models; a name stands for its dated snapshots as well."),
    ]
    since: Annotated[
        date | None,
        BeforeValidator(_date),
        WithJsonSchema({"type": "string", "format": "date", "x-type": "date"}),
        Field(description="First day of this price, in UTC, such as `2026-12-31`; null: always."),
    ] = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.")] = "USD"


# The base that comes last is first among the keys.
class PriceConfig(RatesConfig, PricedConfig):
    """What some models of a vendor cost."""

    tiers: Annotated[
        tuple[TierConfig, ...],
        Field(description="Other rates for calls with long prompts; of the tiers exceeded the last one holds."),
    ] = ()

    @model_validator(mode="after")
    def _tiers_ascend(self) -> Self:
        above = [tier.above for tier in self.tiers]
        if above != sorted(set(above)):
            raise ValueError("has tiers that do not ascend")
        return self


class PricesConfig(Section):
    """What tokens cost."""

    file: Annotated[
        File | None,
        Field(description="A file, YAML or JSON, with the key `rows`, in place of `prices.rows`; null: none."),
    ] = None
    rows: Annotated[
        tuple[PriceConfig, ...],
        Field(description="Prices that go before those of the table that ships."),
    ] = ()


def twice_priced(rows: Sequence[PriceConfig]) -> list[tuple[int, int]]:
    """The rows that price a model from the same day on as a row before: the number of each, and of the one before."""
    seen: dict[tuple[str, str, date | None], int] = {}
    found = []
    for number, row in enumerate(rows):
        for model in row.models:
            first = seen.setdefault((row.vendor, model, row.since), number)
            if first != number:
                found.append((number, first))
    return found
