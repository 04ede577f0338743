"""What an export sends, piece by piece, each with the progress behind it."""

import math
from collections.abc import Sequence

from msgspec import Struct

from llmproxy_grpc.export.progress import Progress
from llmproxy_grpc.export.spec import Part
from llmproxy_grpc.records.record import Body, Feedback, Record


class Chunk(Struct, frozen=True):
    """Whole lines of a file, compressed if asked for; `crc` is the CRC-32C of `data`."""

    data: bytes
    records: int
    part: Part
    file_index: int
    crc: int


class File(Struct, frozen=True):
    """A file is complete; `sha256` is empty if what was sent before a resume cannot be read again."""

    part: Part
    index: int
    records: int
    size: int
    sha256: bytes


class TypedRecord(Struct, frozen=True):
    """A whole record; `body` is None if its content was not kept."""

    record: Record
    body: Body | None
    feedback: Sequence[Feedback]


class Typed(Struct, frozen=True):
    """Some records as they are."""

    records: Sequence[TypedRecord]


class Piece(Struct, frozen=True):
    """One message to send, and the state behind it.

    `seqs` are the positions of the records in it, and `read_at` a reading of the monotonic clock before the first of
    them was read.
    """

    payload: Chunk | File | Typed
    progress: Progress
    seqs: Sequence[int] = ()
    read_at: float = math.inf
