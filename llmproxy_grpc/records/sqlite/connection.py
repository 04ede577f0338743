"""Connections to the file: how they are set up, and one transaction of theirs."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

BUSY_TIMEOUT_MS: Final = 2000
WAL_LIMIT: Final = 64 * 1024 * 1024
CACHE_KIB: Final = 8192

_ALL: Final = f"""
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -{CACHE_KIB};
PRAGMA trusted_schema = OFF;
"""

_NEW: Final = """
PRAGMA auto_vacuum = INCREMENTAL;
"""
"""Can only be set as long as there is no table."""

_WRITER: Final = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA journal_size_limit = {WAL_LIMIT};
"""


def connect_writer(path: Path) -> apsw.Connection:
    """A connection that writes: what it commits survives a power cut, and what it deletes is overwritten."""
    path.touch(mode=0o600, exist_ok=True)
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    try:
        new = connection.pragma("page_count") == 0
        connection.execute((_NEW if new else "") + _ALL + _WRITER).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> apsw.Connection:
    """A connection that reads alone; SQLite itself refuses anything else."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    try:
        connection.execute(_ALL).fetchall()
        # Not opened as read-only: such a connection cannot make the index of the log when it is the first one.
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def is_in_place(connection: apsw.Connection) -> bool:
    """Whether the file that is open is still the one at its path."""
    moved = ctypes.c_int()
    connection.file_control("main", apsw.SQLITE_FCNTL_HAS_MOVED, ctypes.addressof(moved))
    return not moved.value


def fold_log(connection: apsw.Connection) -> bool:
    """Moves all of the write-ahead log into the file and empties it; False if a reader holds it up."""
    busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
    return not busy


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """One transaction that writes: all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
