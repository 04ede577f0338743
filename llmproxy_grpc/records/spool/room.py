"""How much room the spool has: its own bound, and what is left of the disk."""

import os
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 10 * 1024**3
LARGEST_SHARE: Final = 0.2
"""Of the disk."""
TIGHT: Final = 0.8
"""Share of the bound above which content is left out, and durable calls are refused."""


class Room(IntEnum):
    """What still fits."""

    ENOUGH = 0
    TIGHT = 1
    """Figures alone."""
    NONE = 2


def bound(folder: Path, most: int = MOST_BYTES) -> int:
    """How large the spool may grow: so many bytes, or a fifth of the disk if that is less."""
    disk = os.statvfs(folder)
    return min(most, int(disk.f_frsize * disk.f_blocks * LARGEST_SHARE))


def spool_bytes(folder: Path) -> int:
    """How large the spool is now."""
    total = 0
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            with suppress(FileNotFoundError):
                total += entry.stat().st_size
    return total


def room(used: int, allowed: int) -> Room:
    """What fits besides so many bytes."""
    if used >= allowed:
        return Room.NONE
    return Room.TIGHT if used >= allowed * TIGHT else Room.ENOUGH
