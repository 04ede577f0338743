"""What a vendor says that a call was charged: a truth that no price table has."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from llmproxy_grpc.messages import Cost

_MOST = 1_000_000
"""Dollars; no call costs more."""
_NANOS = 1_000_000_000
_TICKS_PER_NANO = 10


def read_cost(usage: Mapping[str, Any]) -> Cost | None:
    """Reads the charge in a `usage` object; None if it tells none.

    Other servers may mean something else by these names: whoever asks has to know whom.
    """
    ticks = usage.get("cost_in_usd_ticks")  # xAI
    if ticks.__class__ is int and 0 <= ticks <= _MOST * _NANOS * _TICKS_PER_NANO:
        return Cost("USD", (ticks + _TICKS_PER_NANO // 2) // _TICKS_PER_NANO)
    credit = _dollars(usage.get("cost"))  # OpenRouter: a credit is a dollar
    if credit is None:
        return None
    if usage.get("is_byok") is True:  # with a key of one's own the model's vendor sends a bill as well
        details = usage.get("cost_details")
        upstream = _dollars(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
        if upstream is None:
            return None
        credit += upstream
    return Cost("USD", int(credit * _NANOS + Decimal("0.5")))


def _dollars(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        return None
    return Decimal(str(value))
