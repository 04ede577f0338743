"""Text as somebody reads it: escapes undone, letters and digits that look alike made the same; and the way back.

JSON's escapes are undone however often the text was put into JSON, so that what stands in a tool's arguments, or in a
string in them, is found like any other; and what stands for a character is replaced whole, so that the JSON around it
stays what it is.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from string import ascii_letters
from typing import Final

from llmproxy_grpc.datasets.redaction.detectors import compiled

# All of the categories Pd and Zs behind ASCII (Unicode 16), and the minus: written down, as each start of a server
# would wait for a look at every letter.
_DASHES: Final = (
    "\u058a\u05be\u1400\u1806\u2010\u2011\u2012\u2013\u2014\u2015\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u2e5d"
    "\u301c\u3030\u30a0\ufe31\ufe32\ufe58\ufe63\uff0d\U00010d6e\U00010ead\u2212"
)
_SPACES: Final = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
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


def _digits() -> Iterator[tuple[str, str]]:
    for code in range(0x80, 0x20000):
        digit = unicodedata.digit(chr(code), None)
        if digit is not None:
            yield chr(code), str(digit)


_LOOK_ALIKES: Final = (
    dict(_digits())
    | {character: chr(ord(character) - 0xFEE0) for character in _FULL_WIDTH}
    | dict.fromkeys(_DASHES, "-")
    | dict.fromkeys(_SPACES, " ")
    | dict.fromkeys(_INVISIBLE, "")
    | dict.fromkeys(_POINTS, ".")
    | _SMALL_SIGNS
)
_READ_AS: Final = {character.encode(): read.encode() for character, read in _LOOK_ALIKES.items()}
_ONE_ESCAPE: Final = len("u0000")
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
    units = escape[1:5] if len(escape) == _ONE_ESCAPE else escape[1:5] + escape[-4:]
    try:
        character = bytes.fromhex(units.decode()).decode("utf-16-be")
    except UnicodeDecodeError:  # half of a pair
        return b"?"
    character_read = character.encode()
    return _READ_AS.get(character_read, character_read)
