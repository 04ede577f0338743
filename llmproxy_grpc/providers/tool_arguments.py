"""Arguments of tool calls on wires that carry them as a JSON object rather than as text."""

import json
from typing import Any, Final

import msgspec
from msgspec import Raw

from llmproxy_grpc.messages.objects import is_object
from llmproxy_grpc.providers.extent import Extent
from llmproxy_grpc.providers.jsonio import decode_whole

_ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_EMPTY = Raw(b"{}")
_WHITE_SPACE: Final = " \t\r\n"
_FEW: Final = 256
"""Pieces that are kept one by one."""
NOT_AN_OBJECT = "INVALID_JSON"
"""The key under which text travels that is no JSON object: what a model wrote is shown to it again, not lost."""


def as_object(arguments_json: str) -> Raw:
    """The arguments as an object, to the byte; text that is none becomes the one entry of an object."""
    if not arguments_json or arguments_json.isspace():
        return _EMPTY
    data = arguments_json.encode("utf-8", "replace")
    return Raw(data if is_object(data) else msgspec.json.encode({NOT_AN_OBJECT: arguments_json}))


def as_text(arguments: Any, *, absent: str = "{}") -> str:
    """The arguments as text: the bytes of the object where the decoder kept them, so that numbers keep their digits.

    Args:
        arguments: Text, or what was decoded of an object.
        absent: What stands for none.
    """
    if isinstance(arguments, str):
        return arguments
    if isinstance(arguments, Raw):
        return _as_written(bytes(arguments).decode("utf-8", "replace"), absent)
    if arguments is None:
        return absent
    try:
        return msgspec.json.encode(arguments).decode()
    except UnicodeEncodeError:  # half a character, whose other half does not come
        return msgspec.json.encode(decode_whole(json.dumps(arguments).encode(), _ANYTHING)).decode()


class Pieces:
    """Text that comes in pieces, kept in hardly more room than it takes whole: a small piece has some 50 bytes more."""

    __slots__ = ("_few", "_long")

    def __init__(self) -> None:
        self._few: list[str] = []
        self._long: list[str] = []

    def add(self, piece: str) -> None:
        """Takes the next piece."""
        if piece:
            self._few.append(piece)
        if len(self._few) >= _FEW:
            self._long.append("".join(self._few))
            self._few.clear()

    def text(self) -> str:
        """All of them together."""
        return "".join([*self._long, *self._few])


class GrowingObject:
    """Arguments that come in pieces: tells when they are a whole JSON object, so that nothing can follow.

    The time it takes is linear in them, however often it is asked: they are decoded once, when as many braces are
    closed as are opened, since what is no object then cannot become one.

    Args:
        extent: What their stream has held so far.
    """

    __slots__ = ("_depth", "_escape", "_extent", "_hopeless", "_in_string", "_news", "_text", "_whole")

    def __init__(self, extent: Extent) -> None:
        self._extent = extent
        self._text = Pieces()
        self._news = Pieces()
        self._depth = 0
        self._in_string = False
        self._escape = ""
        self._whole = False
        self._hopeless = False

    def add(self, piece: str) -> None:
        """Takes the next piece; if a stream has more arguments than may be kept, these are never whole."""
        if self._hopeless:
            return
        if self._extent.may_keep(len(piece)):
            self._news.add(piece)
        else:
            self._give_up()

    def is_whole(self) -> bool:
        """Whether the pieces so far are an object."""
        news = self._news.text()
        if not news:
            return self._whole
        self._news = Pieces()
        self._text.add(news)
        self._count_braces(news)
        if not news.strip(_WHITE_SPACE):
            return self._whole
        if self._depth > 0 and not self._whole:
            return False
        self._whole = not self._whole and is_object(self._text.text().encode("utf-8", "replace"))
        if not self._whole:
            self._give_up()
        return self._whole

    def _count_braces(self, text: str) -> None:
        """Counts those outside strings; of what is no JSON it may be wrong, as the decoder has the last word."""
        text = (self._escape + text).replace("\\\\", "").replace('\\"', "")
        self._escape = "\\" if text.endswith("\\") else ""
        pieces = text.split('"')
        outside = "".join(pieces[1 if self._in_string else 0 :: 2])
        self._in_string ^= len(pieces) % 2 == 0
        self._depth += outside.count("{") - outside.count("}")

    def _give_up(self) -> None:
        self._hopeless = True
        self._whole = False
        self._text = Pieces()
        self._news = Pieces()


def _as_written(document: str, absent: str) -> str:
    if document == "null":
        return absent
    return str(_ANYTHING.decode(document)) if document.startswith('"') else document
