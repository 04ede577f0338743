"""One file of an export as it grows: the proxy's files of a part behind each other, each checked when it is whole."""

import hashlib
import io
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmproxy_client.dataset.faults import DamagedExport
from llmproxy_client.dataset.lasting import private
from llmproxy_client.dataset.plain import BLOCK, can_read, plain_blocks
from llmproxy_client.v1.export_pb2 import EXPORT_COMPRESSION_UNSPECIFIED, ExportCompression, ExportFile


@dataclass(slots=True)
class Segment:
    """One of the proxy's files, of 64 MiB or so.

    Args:
        index: Its number within the part.
        offset: Where it begins in our file, in bytes.
        record_count: Its records so far.
        byte_count: Its bytes before compression.
        sha256: Of those bytes, in hexadecimal; empty until it is whole, and if nobody could tell it.
        whole: Whether its end has come.
        verified: Whether count and hash were found to be what the proxy said.
    """

    index: int
    offset: int
    record_count: int = 0
    byte_count: int = 0
    sha256: str = ""
    whole: bool = False
    verified: bool = False


@dataclass(slots=True)
class PartState:
    """What a later process has to know of a file: its name, part, size in bytes and segments."""

    name: str
    part: int
    size: int = 0
    segments: list[Segment] = field(default_factory=list)

    @property
    def record_count(self) -> int:
        """Records so far."""
        return sum(segment.record_count for segment in self.segments)

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        segments = [Segment(**segment) for segment in value["segments"]]
        return cls(value["name"], value["part"], value["size"], segments)

    def to_json(self) -> dict[str, Any]:
        """The state as JSON."""
        return asdict(self)


class PartFile:
    """A file that grows by chunks, from the state that an earlier process left. Close it.

    Args:
        folder: Where it is.
        state: How far it is; what the file holds beyond that is cut off.
        compression: How its chunks are compressed.

    Raises:
        DamagedExport: The file is shorter than the state says.
    """

    def __init__(
        self,
        folder: Path,
        state: PartState,
        compression: "ExportCompression.ValueType" = EXPORT_COMPRESSION_UNSPECIFIED,
    ) -> None:
        self.state = state
        self._path = folder / state.name
        self._compression = compression
        self._readable = can_read(compression)
        self._file = open(self._path, "ab", opener=private)  # noqa: SIM115 - `close` closes it
        if self._file.tell() < state.size:
            self._file.close()
            raise DamagedExport(f"{self._path} is shorter than it was left")
        self._file.truncate(state.size)
        self._file.seek(state.size)
        self._hash = hashlib.sha256()
        self._open = bool(state.segments) and not state.segments[-1].whole
        if self._open:
            self._hash_again(state.segments[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def append(self, data: bytes, *, records: int, index: int) -> None:
        """Adds a chunk of the segment of this number.

        Raises:
            DamagedExport: The segment before is not whole, or the chunk cannot be decompressed.
        """
        segment = self._segment(index)
        if self._readable:
            for block in self._plain(data):
                self._hash.update(block)
                segment.byte_count += len(block)
        self._file.write(data)
        self.state.size += len(data)
        segment.record_count += records

    def complete(self, file: ExportFile) -> None:
        """Ends a segment, and compares it with what the proxy says of it.

        Raises:
            DamagedExport: It is another one.
        """
        segment = self._segment(file.index)
        segment.sha256, segment.whole = file.sha256.hex(), True
        self._open = False
        if segment.record_count != file.record_count:
            raise DamagedExport(
                f"{self.state.name}: file {file.index} has {segment.record_count} records rather than "
                f"{file.record_count}"
            )
        if not self._readable:
            segment.byte_count = file.byte_count
            return
        # Without a hash, as it is when a record was erased behind a resume, our own one stands in for it.
        found = self._hash.hexdigest()
        segment.sha256 = segment.sha256 or found
        if segment.byte_count != file.byte_count or segment.sha256 != found:
            raise DamagedExport(f"{self.state.name}: file {file.index} is not what the proxy sent (SHA-256 or length)")
        segment.verified = bool(file.sha256)

    def sync(self) -> None:
        """Makes what was written last a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _segment(self, index: int) -> Segment:
        """The open segment, begun if this is its first chunk."""
        segments = self.state.segments
        if self._open and segments[-1].index == index:
            return segments[-1]
        if self._open or index != len(segments):
            raise DamagedExport(f"{self.state.name}: file {index} came where file {len(segments)} was due")
        segments.append(Segment(index, self.state.size))
        self._hash = hashlib.sha256()
        self._open = True
        return segments[-1]

    def _plain(self, data: bytes) -> list[bytes]:
        if self._compression == EXPORT_COMPRESSION_UNSPECIFIED:
            return [data]
        try:
            return list(plain_blocks(io.BytesIO(data), self._compression))
        except (OSError, EOFError, ValueError) as error:
            raise DamagedExport(f"{self.state.name}: a chunk cannot be decompressed") from error

    def _hash_again(self, segment: Segment) -> None:
        """Takes up the hash of a segment that an earlier process began."""
        if not self._readable:
            return
        segment.byte_count = 0
        with self._path.open("rb") as file:
            file.seek(segment.offset)
            for block in plain_blocks(file, self._compression):
                self._hash.update(block)
                segment.byte_count += len(block)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()
