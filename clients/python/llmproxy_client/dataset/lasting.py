"""Files for their owner alone, which last a power cut once they are written."""

import os
import sys
from pathlib import Path


def private(path: str, flags: int) -> int:
    """An opener for `open`: a file that is made holds what people said, and is for its owner alone.

    A link that somebody has put there instead is not followed: in a folder for everybody, such as `/tmp`, it would have
    a file of the caller's own written over.
    """
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def private_folder(folder: Path) -> None:
    """Makes a folder for its owner alone, or closes one that is there to others."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)


def write_lasting(path: Path, text: str) -> None:
    """Writes a file of UTF-8.

    Raises:
        OSError: It cannot be written.
    """
    with open(path, "w", encoding="utf-8", newline="\n", opener=private) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes the names of new files last; Windows does so by itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
