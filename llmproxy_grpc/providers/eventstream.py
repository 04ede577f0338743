"""Amazon's binary event streams (application/vnd.amazon.eventstream), out of bytes however the network splits them.

A frame: its length and that of its headers, a checksum of both, the headers, the payload, a checksum of all before it;
numbers with the highest byte first, checksums as in gzip.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from zlib import crc32

from msgspec import Struct

from llmproxy_grpc.errors import UpstreamProtocolError

_PRELUDE: Final = struct.Struct(">III")
_CHECKSUM: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")
_MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
_MAX_HEADERS_BYTES: Final = 128 * 1024
_SMALLEST: Final = _PRELUDE.size + _CHECKSUM.size
_STRING: Final = 7
# The sizes of values by their types; those of types 6 and 7 say it themselves.
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_GARBLED: Final = "The provider's stream of events is garbled."


class Frame(Struct, frozen=True, gc=False):
    """One frame: whether it is an `event`, an `exception` or an `error`, of which type, and its JSON.

    An `error` has words in place of JSON.
    """

    message_type: str
    name: str
    payload: bytes
    words: str = ""


class FrameReader:
    """Cuts one stream of bytes into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def held(self) -> int:
        """Bytes of a frame whose end has not come."""
        return len(self._buffer)

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Takes the next bytes and gives the frames that they complete.

        Raises:
            UpstreamProtocolError: The bytes are no frames, or a checksum is wrong.
        """
        self._buffer += chunk
        while len(self._buffer) >= _PRELUDE.size:
            prelude = bytes(self._buffer[: _PRELUDE.size])
            total, headers, checksum = _PRELUDE.unpack(prelude)
            if crc32(prelude[: -_CHECKSUM.size]) != checksum:
                raise UpstreamProtocolError(_GARBLED)
            if headers > _MAX_HEADERS_BYTES or not _SMALLEST + headers <= total <= _MAX_FRAME_BYTES:
                raise UpstreamProtocolError("The provider sent an event that is too long.")
            if len(self._buffer) < total:
                return
            frame = bytes(self._buffer[:total])
            del self._buffer[:total]
            yield _frame(frame, headers)

    def close(self) -> tuple[Frame, ...]:
        """Ends the stream: a part of a frame is none."""
        self._buffer.clear()
        return ()


def _frame(data: bytes, headers_size: int) -> Frame:
    end = len(data) - _CHECKSUM.size
    if crc32(data[:end]) != _CHECKSUM.unpack_from(data, end)[0]:
        raise UpstreamProtocolError(_GARBLED)
    payload_at = _PRELUDE.size + headers_size
    kind, name, words = _what(data[_PRELUDE.size : payload_at])
    return Frame(kind, name, data[payload_at:end], words)


@lru_cache(maxsize=256)  # frames of one type have the same headers
def _what(head: bytes) -> tuple[str, str, str]:
    headers = dict(_headers(head))
    kind = headers.get(":message-type", "event")
    name = headers.get(f":{kind}-type") or headers.get(":error-code", "")
    return kind, name, headers.get(":error-message", "")


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    """The headers whose values are text; others are passed over."""
    at = 0
    try:
        while at < len(data):
            size = data[at]
            name = data[at + 1 : at + 1 + size].decode()
            at += 1 + size
            kind = data[at]
            at += 1
            if kind in _SIZES:
                at += _SIZES[kind]
                continue
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            if kind == _STRING:
                yield name, data[at : at + length].decode()
            at += length
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise UpstreamProtocolError(_GARBLED) from error
