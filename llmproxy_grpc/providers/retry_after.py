"""How long a provider asks us to wait, out of the headers of its answer or its words."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST = 86400.0
_SECONDS, _MILLISECONDS = 1e9, 1e11
"""From these numbers on they are times since 1970."""
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,12})?(?:h|ms|us|µs|ns|m|s)){1,8}")
_DURATION_PART = re.compile(r"([0-9.]{1,25})(h|ms|us|µs|ns|m|s)")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}(?:Z|[+-][0-9]{2}:[0-9]{2})")
_WORDS = re.compile(
    r"(?i)(?:try again in|retry (?:after|in)):? (?P<wait>(?:[0-9]{1,6}(?:\.[0-9]{1,12})? ?"
    r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)(?![a-z]) ?){1,8})"
)
_WORD = re.compile(r"(?i)([0-9.]{1,19}) ?(ms|milli|s|m|h)")
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
# Where limits are told: what is left, and when it is full again, by what is limited.
_LIMITS = (
    *((f"x-ratelimit-remaining{name}", f"x-ratelimit-reset{name}") for name in ("-requests", "-tokens", "")),
    *(
        (f"x-ratelimit-remaining-{name}-{window}", f"x-ratelimit-reset-{name}-{window}")
        for name in ("requests", "tokens")
        for window in ("minute", "hour", "day")
    ),
    *((f"{name}-remaining", f"{name}-reset") for name in ("ratelimit", "ratelimitbysize")),
    *(
        (f"anthropic-ratelimit-{name}-remaining", f"anthropic-ratelimit-{name}-reset")
        for name in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)


def retry_after(headers: Mapping[str, str], now: datetime, *, rate_limited: bool) -> float | None:
    """Seconds to wait, from 0 to a day; None if the headers do not say.

    `retry-after-ms`, `retry-after` as seconds, a duration or a date, and as a last resort the time at which a rate
    limit resets. Negative and unreadable values say nothing, dates gone by say 0.

    Args:
        headers: The answer's; names in any case, or in lower case if the mapping tells cases apart.
        now: The wall clock, with a time zone.
        rate_limited: Whether a rate limit is what failed; else its reset, which every answer tells, says nothing.
    """
    seconds = _number(headers.get("retry-after-ms", ""))
    if seconds is not None:
        return bounded(seconds / 1000)
    given = headers.get("retry-after", "").strip()
    seconds = _number(given)
    if seconds is None:
        seconds = _until(given, now) if given[:1].isalpha() else _span(given, now)
    if seconds is None and rate_limited:
        seconds = _reset(headers, now)
    return None if seconds is None else bounded(seconds)


def duration(text: str) -> float | None:
    """Seconds of a duration as Go writes it, such as `1m30s`, `7.66s` or `120ms`; None if it is none."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))


def said_wait(text: str) -> float | None:
    """Seconds that a message names, from 0 to a day, as in `Please try again in 1m30.5s`; None if it names none."""
    found = _WORDS.search(text)
    if found is None:
        return None
    units = {**_UNITS, "milli": _UNITS["ms"]}
    parts = _WORD.findall(found["wait"])
    return bounded(sum(float(number) * units[unit.lower()] for number, unit in parts))


def bounded(seconds: float) -> float:
    """Seconds from 0 to a day; a day for what is no number."""
    return max(0.0, min(seconds, _LONGEST)) if math.isfinite(seconds) else _LONGEST


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _until(text: str, now: datetime) -> float | None:
    """Seconds until a time as HTTP writes it."""
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
        seconds = _span(text, now)
        if seconds is None:
            seconds = _until_number(text, now)
        if seconds is None:
            continue
        resets.append(seconds)
        if headers.get(left, "").strip() == "0":
            used_up.append(seconds)
    return max(used_up) if used_up else min(resets, default=None)


def _span(text: str, now: datetime) -> float | None:
    """Seconds of a duration, or until a time as RFC 3339 writes it."""
    seconds = duration(text)
    return _until_timestamp(text, now) if seconds is None else seconds


def _until_number(text: str, now: datetime) -> float | None:
    """Azure writes seconds without their unit; OpenRouter milliseconds since 1970, and others seconds since then."""
    number = _number(text)
    if number is None or number < _SECONDS:
        return number
    since = number / 1000 if number >= _MILLISECONDS else number
    return max(0.0, since - now.timestamp())


def _until_timestamp(text: str, now: datetime) -> float | None:
    """Seconds until a time as RFC 3339 writes it."""
    if not _TIMESTAMP.fullmatch(text):
        return None
    try:
        return max(0.0, (datetime.fromisoformat(text) - now).total_seconds())
    except ValueError:
        return None
