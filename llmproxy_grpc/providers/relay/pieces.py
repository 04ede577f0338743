"""How much a message of another proxy may consist of: two bytes can make an object, which takes a hundred."""

from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from llmproxy_grpc.errors import UpstreamProtocolError

SMALLEST: Final = 2
"""Bytes of a piece: its tag, and the length 0."""


def check_pieces(message: Message, most: int) -> None:
    """Raises UpstreamProtocolError if there are more than so many messages within a message, however deep.

    Each of them is read into an object of ours and written again, in some microseconds, while all other calls wait.
    Whoever has the bytes at hand need not ask for fewer than `SMALLEST` of them for each piece.
    """
    _room_behind(message, most)


def _room_behind(message: Message, room: int) -> int:
    """How many pieces more there may be behind those of this message."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        pieces = _pieces(value)
        room -= len(pieces)
        if room < 0:
            raise UpstreamProtocolError("The provider's answer has too many parts.")
        if not _is_plain(field.message_type):
            for piece in pieces:
                if isinstance(piece, Message):
                    room = _room_behind(piece, room)
    return room


def _pieces(value: Any) -> Any:
    """The messages that a field has: one, those of a list, or the values of a map."""
    if isinstance(value, Message):
        return (value,)
    return value.values() if hasattr(value, "values") else value


@cache
def _is_plain(kind: Descriptor) -> bool:
    """Whether messages of a kind have no others within them."""
    return all(field.message_type is None for field in kind.fields)
