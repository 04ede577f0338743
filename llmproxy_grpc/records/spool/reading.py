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
        damaged: What is no frame and never will be one, each piece for itself; a piece that goes to the end of the file
            may hold any number of frames, as nobody can tell where the next one begins.
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
        data = _window(file.fileno(), position, size, most)
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
        if complete and _is_hopeless(scan, first=start == 0, last=position + len(data) == size):
            # Not searched for the next frame: its checksum keeps out chance, but not what a caller has put into a
            # picture to be taken for one, of any tenant.
            damaged.append(os.pread(file.fileno(), size - end, end))
            end = size
    return Portion(payloads, damaged, end, exhausted=end == size, finished=complete and end == size)


def _window(descriptor: int, position: int, size: int, most: int) -> bytes:
    """The bytes from a position on, as many as wanted; more if the first frame is longer and there as a whole."""
    data = os.pread(descriptor, min(most, max(0, size - position)), position)
    whole = length_at(data[:HEAD_BYTES])
    if whole is not None and whole > len(data) and position + whole <= size:
        data = os.pread(descriptor, whole, position)
    return data


def _is_hopeless(scan: Scan, *, first: bool, last: bool) -> bool:
    """Whether what stands behind the whole frames of a complete segment never becomes one.

    Args:
        scan: The frames, which have been gone through.
        first: Whether there was none, so that it is the first frame of the window, which would be there as a whole.
        last: Whether the window goes to the end of the file.
    """
    return scan.tail is Tail.DAMAGED or (scan.tail is Tail.PARTIAL and (first or last))
