"""Frames: payloads one behind the other in a file, so that after any cut the whole ones are found, and only those.

A frame is the payload's length and CRC-32C, both four bytes little-endian, one byte of version, and the payload. The
checksum covers version and payload.
"""

import struct
from collections.abc import Iterator
from enum import Enum
from typing import Final

import google_crc32c
from msgspec import Struct

VERSION: Final = 1
LONGEST: Final = 1 << 30
_HEAD: Final = struct.Struct("<IIB")
HEAD_BYTES: Final = _HEAD.size
_VERSION_CRC: Final = google_crc32c.value(bytes([VERSION]))


class Tail(Enum):
    """What stands behind the last whole frame."""

    NOTHING = "nothing"
    PARTIAL = "partial"
    """Less than a frame: it is being written, or was cut."""
    DAMAGED = "damaged"
    """Something that is no frame."""


class Frame(Struct, frozen=True):
    """A whole frame: its payload, and where the next one begins; a payload of None did not pass its checksum."""

    payload: bytes | None
    end: int


class Scan:
    """Goes through the frames of some bytes; behind the last one, `tail` says what is left, from `end` on."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.end = 0
        self.tail = Tail.NOTHING

    def __iter__(self) -> Iterator[Frame]:
        data, whole = self._data, len(self._data)
        while self.end < whole:
            if whole - self.end < HEAD_BYTES:
                self.tail = Tail.PARTIAL
                return
            length, crc, version = _HEAD.unpack_from(data, self.end)
            if not 0 < length <= LONGEST:
                self.tail = Tail.DAMAGED
                return
            start = self.end + HEAD_BYTES
            if whole - start < length:
                self.tail = Tail.PARTIAL
                return
            payload = data[start : start + length]
            self.end = start + length
            sound = version == VERSION and google_crc32c.extend(_VERSION_CRC, payload) == crc
            yield Frame(payload if sound else None, self.end)


def frame(payload: bytes) -> bytes:
    """The frame of a payload."""
    return _HEAD.pack(len(payload), google_crc32c.extend(_VERSION_CRC, payload), VERSION) + payload


def length_at(head: bytes) -> int | None:
    """The whole length of the frame that begins with these bytes; None if that cannot be told."""
    if len(head) < HEAD_BYTES:
        return None
    length: int = _HEAD.unpack_from(head)[0]
    return HEAD_BYTES + length if 0 < length <= LONGEST else None
