"""Files that last a power cut once they are written."""

import os
import sys
from pathlib import Path


def write_lasting(path: Path, text: str) -> None:
    """Writes a file of UTF-8.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
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
