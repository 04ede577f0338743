"""The files of exports' plans: how long they stay, and how many; what is in them is the exports' matter."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

LIFETIME: Final = 86_400.0
"""Seconds that a plan is kept after it was used last."""
SUFFIX: Final = ".plan"
MOST_FILES: Final = 4096
MOST_BYTES: Final = 1 << 30
"""Of all plans but the one that was used last: they share the disk with the records, and every request may make one."""


class _File(Struct, frozen=True, order=True):
    used_at: float
    size: int
    path: Path


def sweep(folder: Path) -> None:
    """Removes plans that nobody has used for long, what a crash has left, and of too many those unused the longest.

    An export that runs keeps its plan open, and one that is resumed makes it again.
    """
    oldest = time.time() - LIFETIME
    kept: list[_File] = []
    for path in folder.glob(f"*{SUFFIX}*"):
        with suppress(OSError):
            found = path.stat()
            if found.st_mtime < oldest:
                path.unlink()
            elif path.suffix == SUFFIX:
                kept.append(_File(found.st_mtime, found.st_size, path))
    _thin_out(sorted(kept))


def _thin_out(files: Sequence[_File]) -> None:
    """Removes the first ones, as long as all of them are too many."""
    count, size = len(files), sum(file.size for file in files)
    for file in files[:-1]:
        if count <= MOST_FILES and size <= MOST_BYTES:
            return
        with suppress(OSError):
            file.path.unlink(missing_ok=True)
        count -= 1
        size -= file.size
