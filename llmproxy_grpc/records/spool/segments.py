"""The files of the spool: their names, who may write to them, and when they are complete.

A file that is written to is locked by its worker, and the kernel lets go of the lock when that dies: whatever can be
locked by somebody else is complete. Each worker also holds a lock on a file of its own, to tell that it is alive.
"""

import fcntl
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

SUFFIX: Final = ".spool"
ALIVE: Final = ".alive"
NEW: Final = ".new"
RENEW: Final = "renew"
"""A file whose change asks every worker to begin a new segment, so that the old ones are complete."""
_NAME: Final = re.compile(r"(\d{3,}-[0-9a-f]+)-(\d{8,})\.spool")


class Segment(Struct, frozen=True, order=True):
    """A file of the spool, in the order in which its worker wrote them."""

    worker: str
    number: int
    path: Path

    @property
    def name(self) -> str:
        """The file's name, by which the store knows it."""
        return self.path.name


def worker_name(number: int) -> str:
    """The name of a worker that starts now: its number, and a generation that nobody else has."""
    return f"{number:03d}-{time.time_ns():x}{secrets.token_hex(2)}"


def segments(folder: Path) -> list[Segment]:
    """The segments that are there, worker by worker, the oldest first."""
    found = []
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            match = _NAME.fullmatch(entry.name)
            if match:
                found.append(Segment(match[1], int(match[2]), Path(entry.path)))
    return sorted(found)


def workers(folder: Path) -> dict[str, bool]:
    """The workers of which something shows, and whether they live; files of those that do not are taken away."""
    found = {}
    for path in folder.glob(f"*{ALIVE}"):
        name = path.name.removesuffix(ALIVE)
        if not is_complete(path):
            found[name] = True
            continue
        with suppress(FileNotFoundError):  # somebody else has taken it away, which tells nothing of the worker
            path.unlink()
            found[name] = False
    return found


def is_complete(path: Path) -> bool:
    """Whether nobody writes to a file any more; also if it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def create_locked(path: Path) -> int:
    """Makes a file that is locked before anybody can see it; gives its descriptor.

    Raises:
        OSError: It cannot be made.
    """
    hidden = path.with_name(path.name + NEW)
    descriptor = os.open(hidden, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def sync_folder(folder: Path) -> None:
    """Makes the names of new files survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ask_to_renew(folder: Path) -> None:
    """Asks every worker to begin a new segment."""
    path = folder / RENEW
    path.touch(mode=0o600)
    os.utime(path)


def renewal(folder: Path) -> int:
    """When that was asked last, to be compared; 0 if never."""
    try:
        return (folder / RENEW).stat().st_mtime_ns
    except OSError:
        return 0
