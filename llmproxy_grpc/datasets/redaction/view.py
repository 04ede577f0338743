"""Text as somebody reads it: escapes undone, letters and digits that look alike made the same; and the way back.

JSON's escapes are undone however often the text was put into JSON, so that what stands in a tool's arguments, or in a
string in them, is found like any other; and what stands for a character is replaced whole, so that the JSON around it
stays what it is.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from itertools import repeat
from string import ascii_letters
from typing import Final

from llmproxy_grpc.datasets.redaction.detectors import compiled


def _behind_ascii() -> Iterator[str]:
    return map(chr, range(0x80, 0x20000))


# In as few passes as can be: every start of a server waits for them.
_CATEGORIES: Final = {
    letter: category
    for letter, category in zip(_behind_ascii(), map(unicodedata.category, _behind_ascii()), strict=True)
    if category in {"Pd", "Zs"}
}
_MINUS: Final = "\u2212"
_DASHES: Final = "".join(letter for letter, category in _CATEGORIES.items() if category == "Pd") + _MINUS
_SPACES: Final = "".join(letter for letter, category in _CATEGORIES.items() if category == "Zs")
# Those that Unicode lets nobody draw (Default_Ignorable_Code_Point), and the marks of annotations. Marks of direction
# among them stand around numbers that were copied from lists of contacts, and within right-to-left text.
_INVISIBLE_RANGES: Final = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
_INVISIBLE: Final = "".join(chr(code) for first, last in _INVISIBLE_RANGES for code in range(first, last + 1))
_POINTS: Final = "\u2024\u3002\ufe52\uff0e\uff61"
# Of the signs, those in addresses: the others are the common punctuation of Chinese and Japanese.
_FULL_WIDTH: Final = "".join(chr(ord(sign) + 0xFEE0) for sign in f"@+_%{ascii_letters}")
_SMALL_SIGNS: Final = {"\ufe6b": "@", "\ufe62": "+", "\ufe55": ":"}


_DIGITS: Final = {
    letter: str(digit)
    for letter, digit in zip(_behind_ascii(), map(unicodedata.digit, _behind_ascii(), repeat(None)), strict=True)
    if digit is not None
}

_LOOK_ALIKES: Final = (
    _DIGITS
    | {character: chr(ord(character) - 0xFEE0) for character in _FULL_WIDTH}
    | dict.fromkeys(_DASHES, "-")
    | dict.fromkeys(_SPACES, " ")
    | dict.fromkeys(_INVISIBLE, "")
    | dict.fromkeys(_POINTS, ".")
    | _SMALL_SIGNS
)
_READ_AS: Final = {character.encode(): read.encode() for character, read in _LOOK_ALIKES.items()}
_ONE_ESCAPE: Final = len("u0000")
_SURROGATES: Final = (0xD800, 0xDFFF)
_ESCAPES: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"/": b"/", b'"': b'"'}

_LETTERS: Final = f"[{''.join(character for character in _LOOK_ALIKES if character not in _DASHES + _SPACES)}]"
_GAPS: Final = f"[{_DASHES}{_SPACES}]"
_LOOK_ALIKE: Final = compiled(f"{_LETTERS}|{_GAPS}")
_GAPS_OF_LINES: Final = ((b"\\t", b"\t\t"), *((b"\\" + letter, b"\n\n") for letter in (b"n", b"r", b"b", b"f")))
# What lies beyond 16 bits has two escapes.
_PAIR: Final = r"\\+u[Dd][89ABab][0-9A-Fa-f]{2}\\+u[Dd][C-Fc-f][0-9A-Fa-f]{2}"
_PIECES: Final = compiled(rf'{_PAIR}|\\+(?:u[0-9A-Fa-f]{{4}}|[nrtbf/"])|{_LETTERS}|{_GAPS}')

HIDDEN: Final = (
    rf"\\u[0-9A-Fa-f]{{4}}|\\/|[0-9A-Za-z@.]{_LETTERS}|{_LETTERS}[0-9A-Za-z@.]|{_LETTERS}{_LETTERS}"
    rf"|[0-9]{_GAPS}|{_GAPS}[0-9]"
)
"""Where a text may read differently from what it is, in a way that matters."""


class View:
    """A text as it is read.

    Args:
        text: UTF-8, as it stands in JSON.

    Attributes:
        read: As it is read.
    """

    def __init__(self, text: bytes) -> None:
        self._read_ends = [0]
        self._ends = [0]
        if b"\\u" in text or b"\\/" in text or not (text.isascii() or _LOOK_ALIKE.search(text) is None):
            self.read = self._undone(text)
        else:
            # The common case: what is left are ends of lines and the like, which part words whatever they are.
            self.read = text
            for escape, gap in _GAPS_OF_LINES:
                if escape in text:
                    self.read = self.read.replace(escape, gap)

    def place(self, offset: int) -> int:
        """Where in the text stands what is read at an offset."""
        before = bisect_right(self._read_ends, offset) - 1
        return self._ends[before] + offset - self._read_ends[before]

    def _undone(self, text: bytes) -> bytes:
        pieces: list[bytes] = []
        done = length = 0
        for match in _PIECES.finditer(text):
            start, end = match.span()
            pieces += (text[done:start], _read(text[start:end]))
            length += start - done + len(pieces[-1])
            done = end
            self._read_ends.append(length)
            self._ends.append(end)
        pieces.append(text[done:])
        return b"".join(pieces)


def _read(piece: bytes) -> bytes:
    if piece[0] != 0x5C:
        return _READ_AS[piece]
    escape = piece.lstrip(b"\\")
    if len(escape) == 1:
        return _ESCAPES[escape]
    first = int(escape[1:5], 16)
    if len(escape) > _ONE_ESCAPE:
        character = chr(0x10000 + ((first & 0x3FF) << 10) + (int(escape[-4:], 16) & 0x3FF))
    elif _SURROGATES[0] <= first <= _SURROGATES[1]:
        return b"?"
    else:
        character = chr(first)
    character_read = character.encode()
    return _READ_AS.get(character_read, character_read)
