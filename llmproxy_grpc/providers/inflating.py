"""A body that the provider has compressed unasked, expanded piece by piece: each byte may become a thousand."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Final

from llmproxy_grpc.errors import Fault, UpstreamProtocolError

PIECE: Final = 256 * 1024
"""Bytes that are expanded at once, which takes a millisecond or two."""
_GZIP: Final = zlib.MAX_WBITS + 16
_ZLIB: Final = zlib.MAX_WBITS
_BARE: Final = -zlib.MAX_WBITS
_DEFLATED: Final = 8
"""The method in the first byte of zlib's format, which some servers leave out."""
_ENCODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class Inflating:
    """Expands one body.

    Args:
        encoding: Its content encoding, of those that `can_inflate`.
        compressed: Waits for the next bytes as they came; b"" at their end.
        fault: What is known of the answer, for its errors.
    """

    __slots__ = ("_began", "_compressed", "_fault", "_inflater", "_more", "_rest", "_wbits")

    def __init__(self, encoding: str, compressed: Callable[[], Awaitable[bytes]], fault: Fault) -> None:
        self._wbits = _ENCODINGS[encoding]
        self._compressed = compressed
        self._fault = fault
        self._inflater = zlib.decompressobj(self._wbits)
        self._began = False
        self._rest = b""
        """What has come and is not expanded yet."""
        self._more = False
        """Whether there may be more of what has been expanded already."""

    async def chunk(self) -> bytes:
        """Waits for the next `PIECE` bytes at most; b"" at the end.

        Raises:
            UpstreamProtocolError: It cannot be expanded.
        """
        while True:
            if self._rest or self._more:
                await asyncio.sleep(0)  # for the others: all of a body may come at once
            elif rest := await self._compressed():
                self._rest = rest
            else:
                return self._end()
            if piece := self._expand():
                return piece

    def _expand(self) -> bytes:
        if not self._began:
            self._begin()
        elif self._inflater.eof:
            self._begin_another()
        try:
            piece = self._inflater.decompress(self._rest, PIECE)
        except zlib.error as error:
            raise self._unreadable() from error
        self._rest = self._inflater.unconsumed_tail or self._inflater.unused_data
        self._more = len(piece) == PIECE and not self._inflater.eof
        return piece

    def _begin(self) -> None:
        self._began = True
        if self._wbits == _ZLIB and self._rest[0] & 0xF != _DEFLATED:
            self._inflater = zlib.decompressobj(_BARE)

    def _begin_another(self) -> None:
        """Files of gzip may stand one behind the other; behind everything else stands nothing."""
        if self._wbits != _GZIP:
            raise self._unreadable()
        self._inflater = zlib.decompressobj(_GZIP)

    def _end(self) -> bytes:
        if self._began and not self._inflater.eof:
            raise self._unreadable()
        return b""

    def _unreadable(self) -> UpstreamProtocolError:
        return UpstreamProtocolError("The provider's answer cannot be decompressed.", fault=self._fault)


def can_inflate(encoding: str) -> bool:
    """Whether a content encoding is one that `Inflating` knows; a body of any other is given as it came."""
    return encoding in _ENCODINGS
