"""What a vendor itself says of money: what a call was charged, and what a listed model costs.

Others may mean something else by the same names: whoever uses these values has to know whom they come from.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from llmproxy_grpc.messages import Cost, Price, Rates

_MOST: Final = 1_000_000
"""Dollars: no call, and no million tokens, costs more."""
_NANOS: Final = 1_000_000_000
_MILLION: Final = 1_000_000
_TICKS_PER_NANO: Final = 10


def read_cost(usage: Mapping[str, Any]) -> Cost | None:
    """Reads the charge in a `usage` object; None if it tells none."""
    if "cost" not in usage and "cost_in_usd_ticks" not in usage:  # nearly always
        return None
    ticks = usage.get("cost_in_usd_ticks")  # xAI
    if ticks.__class__ is int and 0 <= ticks <= _MOST * _NANOS * _TICKS_PER_NANO:
        return Cost("USD", (ticks + _TICKS_PER_NANO // 2) // _TICKS_PER_NANO)
    told = usage.get("cost")
    # OpenRouter: a credit is a dollar. Perplexity: the sum of what each thing costs.
    credit = _dollars(told.get("total_cost") if isinstance(told, dict) else told)
    if credit is None:
        return None
    if usage.get("is_byok") is True:  # with a key of one's own the model's vendor sends a bill as well
        details = usage.get("cost_details")
        upstream = _dollars(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
        if upstream is None:
            return None
        credit += upstream
    return Cost("USD", _nanos(credit))


def read_price(pricing: Any) -> Price | None:
    """Reads what a listed model costs; None if it does not say, or more is paid for than tokens."""
    if not isinstance(pricing, dict):
        return None
    if "prompt" in pricing:
        return _by_the_token(pricing)
    return _by_the_million(pricing)


def _by_the_token(pricing: Mapping[str, Any]) -> Price | None:
    """OpenRouter: dollars for a token, as text; -1 for what depends."""
    fee, thinking = _dollars(pricing.get("request") or 0), _dollars(pricing.get("internal_reasoning") or 0)
    if fee != 0 or thinking not in (0, _dollars(pricing.get("completion"))):
        return None
    names = ("prompt", "completion", "input_cache_read", "input_cache_write", "audio")
    rates = (_dollars(pricing.get(name)) for name in names)
    return _price(*(None if rate is None else rate * _MILLION for rate in rates))


def _by_the_million(pricing: Mapping[str, Any]) -> Price | None:
    """Together: dollars for a million tokens; two zeros, or a price by the hour, for what is not sold by the token."""
    if _dollars(pricing.get("hourly") or 0) != 0 or not (pricing.get("input") or pricing.get("output")):
        return None
    return _price(*(_dollars(pricing.get(name)) for name in ("input", "output", "cached_input")))


def _price(
    read: Decimal | None = None,
    written: Decimal | None = None,
    cached: Decimal | None = None,
    cache_write: Decimal | None = None,
    sound: Decimal | None = None,
) -> Price | None:
    """A price of these rates; what costs nothing beside other prompt tokens has no rate of its own."""
    if read is None or written is None or max(read, written) > _MOST:
        return None
    write = _nanos(cache_write or read)
    return Price(
        "USD",
        Rates(
            input=_nanos(read),
            output=_nanos(written),
            cached_input=_nanos(cached or read),
            cache_write=write,
            cache_write_1h=write,
            audio_input=_nanos(sound or read),
        ),
    )


def _dollars(value: Any) -> Decimal | None:
    """An amount as it was written; None if it is none, or one that cannot be."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 40:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount <= _MOST else None


def _nanos(dollars: Decimal) -> int:
    """Billionths, rounded to the nearest, halves up."""
    return int(dollars * _NANOS + Decimal("0.5"))
