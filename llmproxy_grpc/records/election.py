"""The election of the one process that ingests: by a lock, which the kernel lets go of when that process dies."""

import fcntl
import os
from pathlib import Path

from llmproxy_grpc.records.places import is_at


class Office:
    """What the elected one holds, until it resigns or somebody takes the file of the lock away.

    Args:
        path: The file of the lock.
        descriptor: Of that file, locked.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @property
    def stands(self) -> bool:
        """Whether nobody else can be elected: whoever locks a file that is gone keeps out none who makes it anew."""
        return is_at(self._descriptor, self._path)

    def resign(self) -> None:
        """Lets go of the lock."""
        os.close(self._descriptor)


def elect(path: Path) -> Office | None:
    """Stands for election; None if another process holds the office, or there is no place for its lock."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return Office(path, descriptor)
