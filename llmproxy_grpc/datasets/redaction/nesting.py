"""JSON within a string of JSON: where its numbers stand, and how a string is quoted there."""

import re
from bisect import bisect_left
from typing import Final

import msgspec
from msgspec import Raw

_QUOTES: Final = re.compile(rb'(\\+)"')
_BEFORE: Final = re.compile(rb"[:\[,](?:\s|\\+[nrt])*\Z")
_BEHIND: Final = re.compile(rb"(?:\s|\\+[nrt])*[,\]}]")
_NEAR: Final = 64
_TEXT: Final = msgspec.json.Decoder(str)
_VALUE: Final = msgspec.json.Decoder(dict[str, Raw] | list[Raw])


class Nesting:
    """The strings that are open at each place of a string's content.

    Args:
        content: What stands between the quotes of a string of JSON, escapes and all.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._places: list[int] = []
        self._depths: list[int] = [0]
        depth = 0
        for match in _QUOTES.finditer(content):
            # A quote has one backslash at the first level, three at the second, seven at the third.
            escapes = len(match[1]) + 1
            level = (escapes & -escapes).bit_length() - 1
            if level == depth:
                depth -= 1
            elif level == depth + 1:
                depth += 1
            self._places.append(match.end())
            self._depths.append(depth)

    def is_number(self, start: int, end: int) -> bool:
        """Whether a number of JSON stands there."""
        content = self._content
        return (
            content[start:end].isdigit()
            and _BEFORE.search(content[max(start - _NEAR, 0) : start]) is not None
            and _BEHIND.match(content[end : end + _NEAR]) is not None
        )

    def quote_at(self, place: int) -> bytes:
        """A quote that opens or closes a string there."""
        level = self._depths[bisect_left(self._places, place + 1)] + 1
        return b"\\" * ((1 << level) - 1) + b'"'


def looks_like_json(content: bytes) -> bool:
    """Whether a string's content begins as an object or an array of JSON."""
    return content.lstrip(b" \t\\nr")[:1] in {b"{", b"["}


def is_json(content: bytes) -> bool:
    """Whether a string's content is an object or an array of JSON."""
    try:
        _VALUE.decode(_TEXT.decode(b'"' + content + b'"'))
    except (ValueError, RecursionError):
        return False
    return True
