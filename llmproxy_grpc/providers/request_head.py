"""The head of a request as it goes on the wire, with nothing in it that would begin another one."""

import re
from collections.abc import Mapping
from typing import Final

from llmproxy_grpc import __version__

_DEFAULTS: Final = {"accept": "*/*", "accept-encoding": "identity", "user-agent": f"llmproxy-grpc/{__version__}"}
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN: Final = re.compile(r"[^\t\x20-\x7e\x80-\U0010ffff]")


def request_head(method: str, path: str, of_address: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
    """Writes the first line and the headers that never change.

    Args:
        method: The HTTP method.
        path: What is asked for, percent-encoded.
        of_address: Headers that follow from the address, such as its host.
        headers: Those that are wanted; they replace the others.

    Raises:
        ValueError: One has a character that HTTP forbids.
    """
    given = {name.lower(): value for some in (of_address, _DEFAULTS, headers) for name, value in some.items()}
    return b"%b %b HTTP/1.1\r\n%b" % (method.encode(), path.encode(), header_lines(given))


def header_lines(headers: Mapping[str, str]) -> bytes:
    """Writes each header as a line.

    Raises:
        ValueError: One has a character that HTTP forbids.
    """
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or _FORBIDDEN.search(value):
            raise ValueError(f"header {name!r} has a character that HTTP forbids")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
