"""Content in the store: Zstandard above 512 bytes, frame by frame, without a dictionary that would outlive erasure."""

from typing import Final

import zstandard

LEVEL: Final = 1
WORTHWHILE: Final = 512
"""Bytes below which a frame's own head eats what it saves."""

RAW: Final = 0
ZSTD: Final = 1


class Packer:
    """Compresses; used by one thread."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)

    def pack(self, data: bytes) -> tuple[int, bytes]:
        """The codec, and the bytes as they are stored."""
        if len(data) < WORTHWHILE:
            return RAW, data
        packed = self._zstd.compress(data)
        return (ZSTD, packed) if len(packed) < len(data) else (RAW, data)


class Unpacker:
    """Decompresses; used by one thread."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor()

    def unpack(self, codec: int, data: bytes) -> bytes:
        """The bytes as they were.

        Raises:
            ValueError: The codec is unknown, or the bytes are not its own.
        """
        if codec == RAW:
            return data
        if codec != ZSTD:
            raise ValueError(f"unknown codec {codec}")
        try:
            return self._zstd.decompress(data)
        except zstandard.ZstdError as error:
            raise ValueError("not a whole Zstandard frame") from error
