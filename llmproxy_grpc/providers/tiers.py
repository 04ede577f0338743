"""Tiers of service: which of the vendors' words mean that a call costs other than their standard rates."""

from typing import Any, Final

_STANDARD: Final = frozenset(
    {
        "auto",
        "default",
        "not_available",
        "global",
        "on_demand",
        "service_tier_unspecified",
        "standard",
        "standard_only",
        "traffic_type_unspecified",
        "unspecified",
    }
)


def is_other_tier(told: Any) -> bool:
    """Whether an answer says that it was served at other rates: flexible, priority, or by a plan of its own."""
    return isinstance(told, str) and bool(told) and told.lower() not in _STANDARD
