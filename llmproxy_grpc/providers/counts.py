"""Numbers of providers as numbers of the API: clipped, never trusted."""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from llmproxy_grpc.errors import UpstreamProtocolError

LARGEST_COUNT: Final = 2**31 - 1
"""The API counts in 32 bits; a larger number is a fault of the provider."""


def count(raw: Mapping[str, Any], name: str) -> int:
    """A count by its name: 0 if it is absent, negative or no number, and at most what 32 bits hold."""
    value = raw.get(name)
    return 0 if value is None else clipped(value)  # most names stand for what other vendors count


def counts(raw: Any, names: AbstractSet[str]) -> Mapping[str, int]:
    """Those of the names that an object has, each as `count` reads it; none of what is no object."""
    return {name: clipped(raw[name]) for name in raw.keys() & names} if isinstance(raw, dict) else {}


def real(value: Any) -> float | None:
    """A value as a number with a fraction; None if it is none, or one that no float holds."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return None if math.isnan(number) else number


def clipped(value: Any) -> int:
    """A value as a count, as `count` reads one."""
    if value.__class__ is int:
        return value if 0 <= value <= LARGEST_COUNT else min(max(value, 0), LARGEST_COUNT)
    if isinstance(value, float) and not math.isnan(value):
        return int(min(max(value, 0.0), LARGEST_COUNT))
    return 0


def prompt_tokens(value: Any) -> int:
    """A value as the count of a prompt's tokens.

    Raises:
        UpstreamProtocolError: It is none; no prompt has 0 tokens.
    """
    tokens = clipped(value)
    if not tokens:
        raise UpstreamProtocolError("The provider's count of tokens cannot be read.")
    return tokens
