"""Opens the file of the records, bringing an older one up to date."""

import time
from collections.abc import Callable
from pathlib import Path

import apsw

from llmproxy_grpc.records.sqlite.connection import connect_reader, connect_writer
from llmproxy_grpc.records.sqlite.faults import faults_told
from llmproxy_grpc.records.sqlite.library import check_library
from llmproxy_grpc.records.sqlite.reader import SqliteReader
from llmproxy_grpc.records.sqlite.schema import is_current, migrate
from llmproxy_grpc.records.sqlite.writer import SqliteWriter


def library_version() -> str:
    """The version of the SQLite library in use."""
    return apsw.sqlite_lib_version()


class SqliteStore:
    """Hands out connections to one file.

    Args:
        path: The file; it and its folder are made if need be, for the owner alone.
        clock_us: The wall clock, in microseconds.

    Raises:
        StoreUnavailable: The file cannot be opened now.
        StoreUnfit: The library has a known flaw, or the file is a newer one or another program's.
    """

    def __init__(self, path: Path, clock_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        check_library(library_version())
        self._path = path
        self._clock_us = clock_us
        with faults_told():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_current():
                connection = connect_writer(path)
                try:
                    migrate(connection)
                finally:
                    connection.close()

    def writer(self) -> SqliteWriter:
        """A connection that writes."""
        with faults_told():
            return SqliteWriter(connect_writer(self._path), self._clock_us)

    def reader(self) -> SqliteReader:
        """A connection that reads."""
        with faults_told():
            return SqliteReader(connect_reader(self._path))

    def shared_key(self, mine: bytes) -> bytes:
        """This host's own, as nobody else keeps records here."""
        return mine

    def _is_current(self) -> bool:
        """Whether nothing has to be written for it to be used: another process may be writing."""
        if not self._path.exists():
            return False
        connection = connect_reader(self._path)
        try:
            return is_current(connection)
        finally:
            connection.close()
