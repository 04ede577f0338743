"""Durations: a number of seconds, or a number with a unit, such as `250ms` or `5m`."""

import math
import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

LONGEST: Final = 3650 * 86400.0
"""Ten years, in seconds: whatever is longer is a slip of the pen."""

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(?: ?([a-zA-Zµ]+))?")


def parse_duration(value: object) -> float:
    """Reads a duration: a number, or text such as `250ms`, `30s`, `5m`, `1h`, `30d`.

    Returns:
        Seconds, from 0 to ten years.

    Raises:
        ValueError: It is no duration; the message says why, without the value.
    """
    seconds = _seconds(value)
    if not math.isfinite(seconds):
        raise ValueError("must be a finite duration")
    if seconds < 0:
        raise ValueError("must not be negative")
    if seconds > LONGEST:
        raise ValueError("must not be longer than ten years")
    return seconds


def spell_duration(seconds: float) -> str:
    """Spells a duration the short way, in the largest unit that leaves no fraction."""
    milliseconds = round(seconds * 1000)
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % length == 0:
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number of seconds, or text such as 250ms, 30s, 5m, 1h")  # noqa: TRY004 - pydantic collects ValueErrors alone
    if isinstance(value, int):
        return float(max(-1, min(value, int(LONGEST) + 1)))  # a huge int has no float
    if isinstance(value, float):
        return value
    if value.startswith("-"):
        raise ValueError("must not be negative")
    form = _FORM.fullmatch(value)
    if form is None:
        raise ValueError("must be a number of seconds, or one number and one unit, such as 250ms, 30s, 5m, 1h")
    unit = form[2] or "s"
    if unit not in _UNITS:
        raise ValueError(f"has the unknown unit {unit[:16]}; the units are {', '.join(_UNITS)}")
    return float(form[1]) * _UNITS[unit]


def _positive(seconds: float) -> float:
    if seconds == 0:
        raise ValueError("must be longer than 0")
    return seconds


_JSON_SCHEMA: Final = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}],
    "examples": ["250ms", "30s", "5m", "1h"],
    "x-type": "duration",
}

Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema(_JSON_SCHEMA)]
"""Seconds, zero allowed."""

PositiveDuration = Annotated[
    float, BeforeValidator(parse_duration), AfterValidator(_positive), WithJsonSchema(_JSON_SCHEMA)
]
"""Seconds, more than zero."""
