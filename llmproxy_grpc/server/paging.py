"""Pages of lists that are ordered by name: a page goes on behind the last name of the page before."""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from llmproxy_grpc.errors import FieldViolation
from llmproxy_grpc.server.request import invalid

USUAL_PAGE: Final = 100
LARGEST_PAGE: Final = 1000


def page_of(names: Sequence[str], size: int, token: str) -> tuple[Sequence[str], str]:
    """The page that a request asks for, and the token of the next one, which is empty on the last.

    Args:
        names: All names, sorted.
        size: What the request's `page_size` says.
        token: What the request's `page_token` says.

    Raises:
        InvalidRequest: The size is negative, or the token none of ours.
    """
    if size < 0:
        raise invalid([FieldViolation("page_size", "Must not be negative; 0 means 100.")])
    size = min(size or USUAL_PAGE, LARGEST_PAGE)
    found = names[bisect_right(names, _read(token)) :][: size + 1]
    return found[:size], _written(found[size - 1]) if len(found) > size else ""


def _written(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid([FieldViolation("page_token", "Not a token of an answer before; leave it empty.")]) from None
