"""Where frames lie that can neither be stored nor be thrown away unseen: one file each, for the owner alone."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

MOST_FILES: Final = 10_000
"""Beyond it nothing more is kept: what fills a disk helps nobody."""


class Quarantine:
    """A folder of such files; it is made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, data: bytes) -> None:
        """Keeps some bytes under a name that tells where they come from.

        Raises:
            OSError: They cannot be written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sum(1 for _ in self._files()) >= MOST_FILES:
            return
        descriptor = os.open(self._folder / f"{name}.bin", os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)

    def expire(self, seconds: float) -> None:
        """Deletes what is older."""
        oldest = time.time() - seconds
        for path in self._files():
            with suppress(FileNotFoundError):  # an erasure has deleted it meanwhile
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def empty(self) -> int:
        """Deletes everything, for nobody can tell whose it is; returns how many files there were."""
        paths = list(self._files())
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def _files(self) -> Iterator[Path]:
        return self._folder.glob("*.bin")
