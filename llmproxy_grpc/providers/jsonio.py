"""JSON from providers: decoded strictly, but for lone surrogates, which are joined across the pieces of a stream."""

import json
import math
import re
from codecs import BOM_UTF8
from typing import Any, NoReturn, TypeVar

import msgspec

from llmproxy_grpc.errors import UpstreamProtocolError

T = TypeVar("T")
LiberalT = TypeVar("LiberalT")

# Halves of characters. Pairs and all other escapes are passed over, many at once: a backslash that is itself escaped
# begins nothing, and a call of ours for each escape would take seconds of a long document.
_HALVES = re.compile(
    rb"(?:(?:\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\(?!u[dD][89a-fA-F]).)[^\\]*+)++"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_UNREADABLE = "The provider's answer is not the JSON that its API promises."


def decode(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    r"""Decodes one JSON document into the decoder's type.

    Lone surrogates such as "\ud83d" are kept in the strings: their other half may be in the next piece of a stream, and
    the text goes through a `SurrogateJoiner` before anybody encodes it. Fields of type `msgspec.Raw` cannot stand in a
    document that has one.

    Raises:
        UpstreamProtocolError: It is no JSON (NaN and Infinity are none), of another type, too deep, or has
            numbers out of range.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise UpstreamProtocolError(_UNREADABLE) from error
    except (ValueError, RecursionError) as error:  # msgspec.DecodeError and UnicodeDecodeError are ValueErrors
        if not data.startswith(BOM_UTF8) and b"\\ud" not in data and b"\\uD" not in data:
            raise UpstreamProtocolError(_UNREADABLE) from error
    return _decode_liberally(data, decoder)


def decode_whole(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    r"""Decodes a document that no other continues, as `decode`; lone surrogates become U+FFFD before it is read.

    So it may have fields of type `msgspec.Raw`.
    """
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError):
        mended = _HALVES.sub(_mended, data.removeprefix(BOM_UTF8))
    return decode(mended, decoder)


def decode_piece(
    data: bytes, decoder: msgspec.json.Decoder[T], liberal: msgspec.json.Decoder[LiberalT]
) -> T | LiberalT:
    """Decodes a piece of a stream whose type has fields of type `msgspec.Raw`.

    Args:
        data: The piece.
        decoder: What reads it, unless it holds half a character whose other half is in the next piece.
        liberal: What reads it then: the same type, with any values in those fields.

    Raises:
        UpstreamProtocolError: As `decode`.
    """
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError):
        return decode(data, liberal)


class SurrogateJoiner:
    """Joins characters that a provider split into two halves, one in each of two deltas; one joiner for each text."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Takes the next delta and gives what can be said so far; half a character at its end waits for the next."""
        if not self._held and is_text(text):
            return text
        text = self._held + text
        self._held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held = text[-1]
            text = text[:-1]
        return joined(text)

    def flush(self) -> str:
        """Ends the text: U+FFFD if half a character still waits, else nothing."""
        held, self._held = self._held, ""
        return joined(held)


def is_text(text: str) -> bool:
    """Whether a string has no lone surrogate, and so can be encoded."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def joined_deeply(value: Any) -> Any:
    """The same as `joined` for every text in a JSON value, however deep, so that it can be encoded."""
    whole = [value]
    waiting: list[Any] = [whole]
    while waiting:
        container = waiting.pop()
        for place, item in container.items() if isinstance(container, dict) else enumerate(container):
            if isinstance(item, str):
                container[place] = joined(item)
            elif isinstance(item, dict | list):
                container[place] = _with_names_joined(item) if isinstance(item, dict) else item.copy()
                waiting.append(container[place])
    return whole[0]


def _with_names_joined(value: dict[str, Any]) -> dict[str, Any]:
    return {joined(name): item for name, item in value.items()}


def joined(text: str) -> str:
    """Joins pairs of surrogates into characters and replaces each one left alone by U+FFFD."""
    if is_text(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _decode_liberally(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        value = json.loads(data.removeprefix(BOM_UTF8).decode(), parse_constant=_refuse, parse_float=_finite)
        return msgspec.convert(value, decoder.type, strict=decoder.strict, dec_hook=decoder.dec_hook)
    except (ValueError, RecursionError) as error:  # JSONDecodeError and msgspec.ValidationError are ValueErrors
        raise UpstreamProtocolError(_UNREADABLE) from error


def _mended(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[1] else escape[0]


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number
