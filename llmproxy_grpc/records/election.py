"""The election of the one process that ingests: by a lock, which the kernel lets go of when that process dies."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from llmproxy_grpc.records.places import is_at
from llmproxy_grpc.records.store import StoreUnavailable


class Office:
    """What the elected one holds, until it resigns or somebody takes the file of the lock away.

    The file tells the others whether the store takes records: it has a size if not. That takes no room on a disk which
    may be full.

    Args:
        path: The file of the lock.
        descriptor: Of that file, locked.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._told: bool | None = None

    @property
    def stands(self) -> bool:
        """Whether nobody else can be elected: whoever locks a file that is gone keeps out none who makes it anew."""
        return is_at(self._descriptor, self._path)

    def tell(self, *, available: bool) -> None:
        """Tells whether the store takes records."""
        if available is not self._told:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0 if available else 1)
            self._told = available

    def resign(self) -> None:
        """Lets go of the lock."""
        os.close(self._descriptor)


def elect(path: Path) -> Office | None:
    """Stands for election; None if another process holds the office.

    Raises:
        StoreUnavailable: There is no place for its lock, or it may not be opened.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be locked: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return Office(path, descriptor)


def told_available(path: Path) -> bool:
    """Whether whoever holds the office has told that the store takes records, or nothing yet."""
    try:
        return not path.stat().st_size
    except OSError:
        return True
