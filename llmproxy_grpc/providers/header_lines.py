"""Headers as they go on the wire, with nothing in them that would begin another one."""

import re
from collections.abc import Mapping
from typing import Final

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN: Final = re.compile(r"[^\t\x20-\x7e\x80-\U0010ffff]")


def header_lines(headers: Mapping[str, str]) -> bytes:
    """Writes each header as a line.

    Raises:
        ValueError: One has a character that HTTP forbids.
    """
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or _FORBIDDEN.search(value):
            raise ValueError(f"header {name!r} has a character that HTTP forbids")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
