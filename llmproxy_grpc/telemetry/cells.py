"""Where the numbers of the metrics live: memory that another process can read while it is written, and afterwards."""

import mmap
import os
from array import array
from typing import Final, Self, TypeAlias

SIZE: Final = 8 * 2**20
"""Bytes; only those that are used exist."""
WIDTH: Final = 8
"""Bytes of a cell, a double: aligned, so no reader ever sees half of one."""

Numbers: TypeAlias = "memoryview[float]"


class Cells:
    """A million numbers, given out one after the other.

    A number in shared memory is as fast as one in an object, and it outlives its process: what a worker has counted is
    known to the last call, however it ended.

    Args:
        descriptor: Of shared memory; -1 for memory of this process alone.
    """

    def __init__(self, descriptor: int = -1) -> None:
        self._memory = mmap.mmap(descriptor, SIZE)
        self.numbers: Numbers = memoryview(self._memory).cast("d")
        """All of them."""
        self._used = 0

    @classmethod
    def shared(cls) -> tuple[Self, int]:
        """New shared memory, and its descriptor for a child to inherit; the caller closes that."""
        descriptor = os.memfd_create("llmproxy-metrics")
        os.ftruncate(descriptor, SIZE)
        return cls(descriptor), descriptor

    def take(self, length: int) -> tuple[int, Numbers]:
        """So many unused numbers, all 0, and where they begin; when all are in use, some that nobody else can read."""
        begin = self._used
        if begin + length > len(self.numbers):
            return -1, memoryview(array("d", bytes(WIDTH * length)))
        self._used += length
        return begin, self.numbers[begin : self._used]
