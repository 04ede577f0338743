"""What was found out of schemas lately: the same tools come with every call of an application."""

from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Final, TypeVar

ROOM: Final = 4 * 1024 * 1024
"""Characters for all that are remembered: one may have a mebibyte. When it is used up, all are forgotten."""
EACH: Final = 256
"""Characters that count for what a schema takes besides its own."""

_Schema = TypeVar("_Schema", str, bytes)
_Found = TypeVar("_Found")


def remembering(look: Callable[[_Schema], _Found]) -> Callable[[_Schema], _Found]:
    """Has a function remember what it found out of schemas, in some megabytes whatever comes."""
    known: dict[_Schema, _Found] = {}
    room = ROOM
    lock = Lock()

    @wraps(look)
    def found(schema: _Schema) -> _Found:
        nonlocal room
        try:
            return known[schema]
        except KeyError:
            answer = look(schema)
        size = len(schema) + EACH
        with lock:
            if size > room:
                known.clear()
                room = ROOM
            known[schema] = answer
            room -= size
        return answer

    return found
