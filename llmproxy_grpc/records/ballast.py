"""Room that is held back beside the store, so that a full disk still lets records be deleted."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

SIZE: Final = 16 * 1024 * 1024
LARGEST_SHARE: Final = 0.02
"""Of the disk."""


class Ballast:
    """A file that nobody reads: thrown overboard when the disk is full, taken in again when it is not."""

    def __init__(self, path: Path, size: int = SIZE) -> None:
        self._path = path
        self._most = size

    def take(self, *, after_full: bool = False) -> bool:
        """Holds the room; False if there is none.

        Args:
            after_full: Whether the disk has been full. Then as much again must be free besides: what has been thrown
                overboard would else be taken in again at once, and the disk be full again.
        """
        with suppress(FileNotFoundError):
            if self._path.stat().st_size > 0:
                return True
        try:
            disk = os.statvfs(self._path.parent)
            size = min(self._most, int(disk.f_frsize * disk.f_blocks * LARGEST_SHARE))
            if after_full and disk.f_frsize * disk.f_bavail < 2 * size:
                return False
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, max(1, size))
            finally:
                os.close(descriptor)
        except OSError:
            self.drop()
            return False
        return True

    def drop(self) -> None:
        """Gives the room away, if the disk lets that happen."""
        with suppress(OSError):
            self._path.unlink()
