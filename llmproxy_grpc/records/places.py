"""Where everything lies in the folder of the records."""

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from llmproxy_grpc.records.spool.segments import sync_folder

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""A disk that is full: it may have room again, so nobody gives up for it."""


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at its path; who has moved or deleted it has told nobody."""
    mine = os.fstat(descriptor)
    try:
        there = path.stat()
    except OSError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def made_once(path: Path, fresh: bytes) -> bytes:
    """What a file says; these bytes if there is none, unless somebody else comes first. It outlives a power cut.

    Raises:
        OSError: It can neither be read nor be made, or says nothing.
    """
    with suppress(FileNotFoundError):
        return _said(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mine = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(mine, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(fresh)
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(mine, path)
        sync_folder(path.parent)
    finally:
        mine.unlink()
    return _said(path)


def _said(path: Path) -> bytes:
    said = path.read_bytes()
    if not said:
        raise OSError(errno.EIO, "is empty", str(path))  # a key that everybody knows, or the name of every spool
    return said


class Places:
    """The paths within one folder.

    Args:
        folder: The folder of the records.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "records.sqlite3"
        self.spool = folder / "spool"
        self.quarantine = folder / "quarantine"
        self.ingester_lock = folder / "ingester.lock"
        """Locked by the process that ingests."""
        self.end_user_key = folder / "end-user.key"
        self.ballast = folder / "ballast"
        self.spool_id = folder / "spool.id"
        """What tells this spool from those of other hosts."""
        self.export_key = folder / "export.key"
        """Seals the resume tokens of exports, and names their plans."""
        self.plans = folder / "plans"

    def prove(self) -> None:
        """Makes the folders, and sees that they can be written to; a full disk is no fault of theirs.

        Raises:
            OSError: They cannot.
        """
        for folder in (self.folder, self.spool):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                if error.errno in FULL:
                    return
                raise OSError(
                    f"records.directory: cannot write to {folder}: {error.strerror}; name a folder that this user "
                    "may write to, or set records.enabled to false"
                ) from error
