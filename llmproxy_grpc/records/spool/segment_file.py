"""The segment that a worker writes to: appends whole frames or nothing of them."""

import os
import threading
import time
from pathlib import Path
from typing import Final

from llmproxy_grpc.records.places import is_at
from llmproxy_grpc.records.spool.segments import SUFFIX, create_locked, sync_folder


class SegmentFile:
    """Appends to one file, locked as long as it is open.

    Args:
        folder: The spool.
        worker: Name of the worker.
        number: Of the segment, ascending.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, folder: Path, worker: str, number: int) -> None:
        self._folder = folder
        self._path = folder / f"{worker}-{number:08d}{SUFFIX}"
        self._descriptor: int = create_locked(self._path)
        self.number: Final = number
        self.size = 0
        self.born = time.monotonic()
        self._synced = -1
        self._closing = threading.Lock()
        self._closed = False
        self.sound = True
        """Whether more may be appended: not behind part of a frame, nor when it is unknown what is on the disk."""

    def append(self, data: bytes) -> None:
        """Appends all of the bytes; if that fails, the file is what it was, or not sound any more.

        Raises:
            OSError: They were not appended.
        """
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, memoryview(data)[written:] if written else data)
        except OSError:
            self.sound = False
            os.ftruncate(self._descriptor, self.size)
            self.sound = True
            raise
        self.size += written

    def sync(self) -> None:
        """Makes what was appended before survive a power cut; nothing if that is so already, or the file is closed.

        Raises:
            OSError: It is unknown what would survive, now and later: the kernel may take what failed for written.
        """
        with self._closing:
            size = self.size
            if self._closed or size == self._synced:
                return
            try:
                if self._synced < 0:
                    sync_folder(self._folder)
                os.fdatasync(self._descriptor)
            except OSError:
                self.sound = False
                raise
            self._synced = size

    def gone(self) -> bool:
        """Whether somebody has moved or deleted the file; to be asked before it is closed."""
        return not is_at(self._descriptor, self._path)

    def close(self) -> None:
        """Closes it: from now on it is complete."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            os.close(self._descriptor)
