"""Reads a segment from where the store knows it up to: whole frames, and what to make of the rest."""

import os
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from llmproxy_grpc.records.spool.frames import HEAD_BYTES, Scan, Tail, length_at
from llmproxy_grpc.records.spool.segments import Segment, is_complete

MOST_BYTES: Final = 4 * 1024 * 1024
MOST_FRAMES: Final = 1000


class Portion(Struct, frozen=True):
    """Some frames of a segment.

    Attributes:
        payloads: Of the whole frames.
        damaged: What is no frame and never will be one, each piece for itself.
        end: Position up to which this goes.
        exhausted: Whether the file has nothing behind that.
        finished: Whether the segment is complete, and this was the last of it.
    """

    payloads: Sequence[bytes]
    damaged: Sequence[bytes]
    end: int
    exhausted: bool
    finished: bool


def read_portion(segment: Segment, position: int, most: int = MOST_BYTES) -> Portion:
    """Reads frames from a position on: about so many bytes and a thousand at most, but one at least.

    Raises:
        OSError: The file cannot be read; FileNotFoundError if it is gone.
    """
    # Asked before the size is: what is complete now does not grow any more.
    complete = is_complete(segment.path)
    with segment.path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = os.pread(file.fileno(), min(most, max(0, size - position)), position)
        whole = length_at(data[:HEAD_BYTES])
        if whole is not None and whole > len(data) and position + whole <= size:
            data = os.pread(file.fileno(), whole, position)
    scan = Scan(data)
    payloads: list[bytes] = []
    damaged: list[bytes] = []
    start = 0
    for frame in scan:
        if frame.payload is not None:
            payloads.append(frame.payload)
        elif complete:
            damaged.append(data[start : frame.end])
        else:
            # It may be half written: looked at again, and given up only when the segment is complete.
            return Portion(payloads, (), position + start, exhausted=False, finished=False)
        start = frame.end
        if len(payloads) + len(damaged) >= MOST_FRAMES:
            end = position + start
            return Portion(payloads, damaged, end, exhausted=end == size, finished=False)
    end = position + start
    last = position + len(data) == size
    if (complete and last and scan.tail is not Tail.NOTHING) or (complete and scan.tail is Tail.DAMAGED):
        damaged.append(data[start:])
        end = size
    return Portion(payloads, damaged, end, exhausted=end == size, finished=complete and end == size)
