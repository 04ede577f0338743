"""One JSON value as one line of a file."""

from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder()

# Legal in JSON, but line ends to readers that split text by Unicode's rules, such as Python's splitlines.
_LINE_ENDS = ((b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"), (b"\xc2\x85", rb"\u0085"))


def to_line(value: Any) -> bytes:
    """Encodes a value as UTF-8 JSON on one line, with its line end; there is no NaN in JSON, null stands for it."""
    line = _ENCODER.encode(value)
    if not line.isascii():
        for character, escape in _LINE_ENDS:
            if character in line:
                line = line.replace(character, escape)
    return line + b"\n"
