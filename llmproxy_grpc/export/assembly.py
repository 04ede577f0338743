"""Cuts lines into chunks and files, at places that depend on the records alone."""

import gzip
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import accumulate
from typing import Final, Protocol

import google_crc32c
import zstandard

from llmproxy_grpc.export.held import Held
from llmproxy_grpc.export.output import Chunk, File, Piece
from llmproxy_grpc.export.picks import Pick
from llmproxy_grpc.export.progress import FileState
from llmproxy_grpc.export.rendering import Line
from llmproxy_grpc.export.spec import Compression, Part
from llmproxy_grpc.export.tally import Tally

FILE_BYTES: Final = 64 * 1024 * 1024
"""A file ends with the first record that reaches so many bytes."""
_GZIP_LEVEL: Final = 3
_ZSTD_LEVEL: Final = 1


class Hash(Protocol):
    """A hash that grows."""

    def update(self, data: bytes, /) -> None:
        """Takes more."""

    def digest(self) -> bytes:
        """Gives what it is so far."""
        ...


class Assembler:
    """Makes chunks and files of lines.

    Args:
        tally: Counts what is written; what is counted elsewhere before a line belongs before it.
        chunk_bytes: Size that a chunk is not to exceed, unless one line alone does.
        compression: Of each chunk.
        file: The file to go on with.
        sent: The hash of what was sent of it before; None if that cannot be told.
        head: What stands before the first line of a part.
    """

    def __init__(
        self,
        tally: Tally,
        *,
        chunk_bytes: int,
        compression: Compression,
        file: FileState,
        sent: "Hash | None",
        head: bytes = b"",
    ) -> None:
        self._tally = tally
        self._chunk_bytes = chunk_bytes
        self._compress = _COMPRESSORS[compression]()
        self._file = file
        self._hash = sent
        self._head = head
        self._held = Held()
        self._lines: list[bytes] = []
        self._count = 0
        self._size = 0
        self._out: list[Piece] = []
        if file.size >= FILE_BYTES:
            self.close()  # its last chunk had left, and what tells its end had not

    def reading(self) -> None:
        """Records are read from now on, whose lines come next."""
        self._held.reading()

    def extend(self, picks: Sequence[Pick], made: Sequence[Line]) -> None:
        """Takes the lines of records, the parts one after the other."""
        parts = [pick.part for pick in picks]
        start = 0
        while start < len(picks):
            if parts[start] != self._file.part:
                self._switch(parts[start])
            end = bisect_right(parts, parts[start], start)
            self._extend(picks[start:end], made[start:end])
            start = end

    def _extend(self, picks: Sequence[Pick], made: Sequence[Line]) -> None:
        """Takes lines of one part: as many at once as go into the chunk and the file."""
        ends = list(accumulate(len(each.data) for each in made))
        start = before = 0
        while start < len(made):
            self._begin()
            end = bisect_right(ends, before + self._chunk_bytes - self._size, start)
            if end == start and self._count:
                self.flush()
                continue
            last = bisect_left(ends, before + FILE_BYTES - self._file.size - self._size, start)
            end = min(max(end, start + 1), last + 1)
            self._take(picks[start:end], made[start:end], ends[end - 1] - before)
            if last < end:
                self.close()
            start, before = end, ends[end - 1]

    def _begin(self) -> None:
        """Puts the head before the first line of a part."""
        if self._head and not (self._file.index or self._file.size or self._lines):
            self._lines.append(self._head)
            self._size += len(self._head)

    def _take(self, picks: Sequence[Pick], made: Sequence[Line], size: int) -> None:
        """Takes lines that go into the chunk."""
        self._lines.extend([each.data for each in made])
        self._held.extend(picks)
        self._count += len(made)
        self._size += size
        self._tally.write(picks[-1].cursor, len(made), _hidden(made))

    def flush(self) -> None:
        """Ends the chunk."""
        if not self._lines:
            return
        data = b"".join(self._lines)
        file = self._file
        if self._hash is not None:
            self._hash.update(data)
        self._file = FileState(
            part=file.part,
            index=file.index,
            records=file.records + self._count,
            size=file.size + len(data),
            crc=google_crc32c.extend(file.crc, data),
            start=file.start,
        )
        sent = self._compress(data)
        chunk = Chunk(sent, self._count, file.part, file.index, google_crc32c.value(sent))
        self._lines, self._count, self._size = [], 0, 0
        self._out.append(Piece(chunk, self._tally.progress(self._file), *self._held.take()))

    def close(self) -> None:
        """Ends the file, if there is anything in it."""
        self.flush()
        file = self._file
        if not file.records:
            return
        digest = self._hash.digest() if self._hash is not None else b""
        done = File(file.part, file.index, file.records, file.size, digest)
        self._tally.files += 1
        self._file = FileState(part=file.part, index=file.index + 1, start=self._tally.cursor)
        self._hash = sha256()
        self._out.append(Piece(done, self._tally.progress(self._file)))

    def take(self) -> list[Piece]:
        """What is ready to be sent."""
        out, self._out = self._out, []
        return out

    def _switch(self, part: Part) -> None:
        """Goes on with another part of the split, in a new file."""
        self.close()
        self._file = FileState(part=part, start=self._tally.cursor)
        self._hash = sha256()


class Recall:
    """Hashes again what has been sent of a file before a resume.

    Args:
        sent: The file as the token knows it.
        head: What stands before the first line of a part.
    """

    def __init__(self, sent: FileState, head: bytes = b"") -> None:
        self._sent = sent
        head = b"" if sent.index else head
        self._hash = sha256(head)
        self._records, self._size, self._crc = 0, len(head), google_crc32c.value(head)

    def add(self, made: Line) -> None:
        """Takes the next line."""
        line = made.data
        self._hash.update(line)
        self._crc = google_crc32c.extend(self._crc, line)
        self._size += len(line)
        self._records += 1

    @property
    def hash(self) -> "Hash | None":
        """The hash so far; None if these are not the bytes that were sent: a record has been erased meanwhile."""
        sent = self._sent
        same = (self._records, self._size, self._crc) == (sent.records, sent.size, sent.crc)
        return self._hash if same else None


def _hidden(made: Sequence[Line]) -> Mapping[str, int]:
    """How many values were hidden in lines, by class."""
    counts: Counter[str] = Counter()
    for each in made:
        if each.redacted:
            counts.update(each.redacted)
    return counts


def _gzip() -> Callable[[bytes], bytes]:
    # Without the time of day: the same lines are the same bytes.
    return lambda data: gzip.compress(data, compresslevel=_GZIP_LEVEL, mtime=0)


def _zstd() -> Callable[[bytes], bytes]:
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress


_COMPRESSORS: Final[Mapping[Compression, Callable[[], Callable[[bytes], bytes]]]] = {
    Compression.NONE: lambda: bytes,  # gives the very same
    Compression.GZIP: _gzip,
    Compression.ZSTD: _zstd,
}
