"""How long a provider asks us to wait, out of the headers of its answer."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST = 86400.0
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,12})?(?:h|ms|us|µs|ns|m|s))+")
_DURATION_PART = re.compile(r"([0-9.]+)(h|ms|us|µs|ns|m|s)")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}(?:Z|[+-][0-9]{2}:[0-9]{2})")
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
# Where limits are told: what is left, and when it is full again, by what is limited.
_LIMITS = (
    *((f"x-ratelimit-remaining-{name}", f"x-ratelimit-reset-{name}") for name in ("requests", "tokens")),
    *(
        (f"anthropic-ratelimit-{name}-remaining", f"anthropic-ratelimit-{name}-reset")
        for name in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)


def retry_after(headers: Mapping[str, str], now: datetime, *, rate_limited: bool) -> float | None:
    """Seconds to wait, from 0 to a day; None if the headers do not say.

    `retry-after-ms`, `retry-after` as seconds or as a date, and as a last resort the time at which a rate limit resets.
    Negative and unreadable values say nothing, dates gone by say 0.

    Args:
        headers: The answer's; names in any case, or in lower case if the mapping tells cases apart.
        now: The wall clock, with a time zone.
        rate_limited: Whether a rate limit is what failed; else its reset, which every answer tells, says nothing.
    """
    seconds = _number(headers.get("retry-after-ms", ""))
    if seconds is not None:
        return _bounded(seconds / 1000)
    given = headers.get("retry-after", "").strip()
    seconds = _number(given)
    if seconds is None:
        seconds = _until(given, now)
    if seconds is None and rate_limited:
        seconds = _reset(headers, now)
    return None if seconds is None else _bounded(seconds)


def duration(text: str) -> float | None:
    """Seconds of a duration as Go writes it, such as `1m30s`, `7.66s` or `120ms`; None if it is none."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _until(text: str, now: datetime) -> float | None:
    if not text[:1].isalpha():
        return None
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


def _reset(headers: Mapping[str, str], now: datetime) -> float | None:
    """When the limits reset: the last of those used up, or the first of all if none is said to be."""
    resets = []
    used_up = []
    for left, reset in _LIMITS:
        text = headers.get(reset, "").strip()
        seconds = duration(text)
        if seconds is None:
            seconds = _until_timestamp(text, now)
        if seconds is None:
            # Azure writes seconds without their unit; a larger number is a time of day.
            seconds = _number(text)
            seconds = None if seconds is None or seconds > _LONGEST else seconds
        if seconds is None:
            continue
        resets.append(seconds)
        if headers.get(left, "").strip() == "0":
            used_up.append(seconds)
    return max(used_up) if used_up else min(resets, default=None)


def _until_timestamp(text: str, now: datetime) -> float | None:
    """Seconds until a time as RFC 3339 writes it."""
    if not _TIMESTAMP.fullmatch(text):
        return None
    try:
        return max(0.0, (datetime.fromisoformat(text) - now).total_seconds())
    except ValueError:
        return None


def _bounded(seconds: float) -> float:
    return min(seconds, _LONGEST) if math.isfinite(seconds) else _LONGEST
