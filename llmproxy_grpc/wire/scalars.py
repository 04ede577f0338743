"""Scalars of the API: integers that fit, durations and times, and text that UTF-8 can carry."""

import sys
from array import array
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct

_P = ParamSpec("_P")
_R = TypeVar("_R")

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
_NANOS = 1_000_000_000
_LONGEST = 315_576_000_000
"""Seconds that a Duration may say: ten thousand years."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def number(member: int) -> Any:
    """Gives a member's number, which is the API's; the generated stubs want a type that only they have."""
    return member


def count(value: int) -> int:
    """Gives a number of things that fits int32: negative becomes 0, too much the largest."""
    return value if 0 <= value <= INT32_MAX else min(max(value, 0), INT32_MAX)


def int64(value: int) -> int:
    """Gives a number that fits int64."""
    return max(-INT64_MAX, min(value, INT64_MAX))


def packed_floats(values: "array[float]", byteorder: str = sys.byteorder) -> bytes:
    """Gives an array of type `f` as protobuf packs floats: its own bytes, the lowest first."""
    if byteorder == "big":
        values = array("f", values)
        values.byteswap()
    return values.tobytes()


def floats_packed(data: bytes, byteorder: str = sys.byteorder) -> "array[float]":
    """Gives the array of such bytes."""
    values = array("f", data)
    if byteorder == "big":
        values.byteswap()
    return values


def varint(number: int) -> bytes:
    """Gives a number as protobuf writes lengths: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def to_seconds(duration: Duration) -> float:
    """Gives a duration in seconds, rounded once: 1.503 s is 1.503, which a sum of both parts would not be."""
    return (duration.seconds * _NANOS + duration.nanos) / _NANOS


def fill_duration(target: Duration, seconds: float) -> None:
    """Writes seconds, to the nanosecond; what a Duration cannot say becomes the longest that it can."""
    within = max(-_LONGEST, min(seconds, _LONGEST))
    target.seconds, target.nanos = divmod(round(within * _NANOS), _NANOS)


def fill_time(target: Timestamp, time: datetime) -> None:
    """Writes an aware time, to the microsecond; Timestamp's own conversion takes five times as long."""
    since = time - _EPOCH
    target.seconds = since.days * 86_400 + since.seconds
    target.nanos = since.microseconds * 1000


def mending(build: Callable[_P, _R]) -> Callable[_P, _R]:
    """Makes a function that builds protobuf accept text with lone surrogates, which protobuf refuses.

    Such text is rare, so nobody looks for it: the function is called again, with mended arguments, when it fails.
    """

    @wraps(build)
    def mended_build(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return build(*args, **kwargs)
        except UnicodeEncodeError:
            again: Any = build
            return again(*map(mended, args), **mended(kwargs))  # type: ignore[no-any-return] # mypy cannot follow

    return mended_build


def mended(value: Any) -> Any:
    """Gives a value with the lone surrogates in all its text replaced by U+FFFD, and pairs of them joined."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Struct):
        return type(value)(**{name: mended(getattr(value, name)) for name in value.__struct_fields__})
    if isinstance(value, Mapping):
        return {mended(key): mended(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map(mended, value))
    return value
