"""The one connection that writes to the file: batches of rows, and what is deleted."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import apsw
import msgspec

from llmproxy_grpc.records.compression import Packer
from llmproxy_grpc.records.record import Entry, Feedback, OpenCall
from llmproxy_grpc.records.rows import (
    COLUMNS,
    figures,
    judgements,
    labels,
    last_positions,
    new_entries,
    new_feedback,
    packed_bodies,
)
from llmproxy_grpc.records.sqlite.connection import fold_log, is_in_place, transaction
from llmproxy_grpc.records.sqlite.deletion import Deletion
from llmproxy_grpc.records.sqlite.faults import faults_told
from llmproxy_grpc.records.store import Batch, Erase, Row, StoreUnavailable, Written

_INSERT: Final = f"INSERT INTO record ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - names of our own fields
_IN_ONE_STATEMENT: Final = 500


class SqliteWriter:
    """Writes; used by one thread at a time.

    Args:
        connection: Its own; it closes it.
        clock_us: The wall clock, in microseconds.
    """

    def __init__(
        self, connection: apsw.Connection, clock_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self._connection = connection
        self._clock_us = clock_us
        self._packer = Packer()

    def write(self, batch: Batch) -> Written:
        """Commits a batch, all of it or nothing."""
        with faults_told(), transaction(self._connection):
            records, erased = self._entries(batch.entries)
            self._feedback(batch.feedback)
            self._calls(batch)
            self._connection.executemany("INSERT OR REPLACE INTO segment VALUES (?, ?)", batch.progress.items())
            self._connection.executemany("DELETE FROM segment WHERE name = ?", [(name,) for name in batch.forget])
        self.check()  # behind the commit, for nobody will ever read what went into a file that is gone
        return Written(records, erased)

    def progress(self) -> dict[str, int]:
        """By segment, up to which byte it has been committed."""
        with faults_told():
            return dict(self._rows("SELECT name, position FROM segment"))

    def open_calls(self) -> list[OpenCall]:
        """Calls that have begun and not ended."""
        with faults_told():
            return [OpenCall(*row) for row in self._rows("SELECT * FROM open_call ORDER BY id")]

    def parents(self, tenant: str, hashes: Sequence[bytes]) -> dict[bytes, tuple[bytes, str]]:
        """Id and conversation of the records with these full hashes, the first stored of each."""
        found: dict[bytes, tuple[bytes, str]] = {}
        with faults_told():
            for start in range(0, len(hashes), _IN_ONE_STATEMENT):
                some = hashes[start : start + _IN_ONE_STATEMENT]
                sql = (
                    "SELECT full_hash, id, conversation FROM record WHERE full_hash IN "  # noqa: S608 - question marks
                    f"({', '.join('?' * len(some))}) AND tenant = ? ORDER BY seq"
                )
                for full_hash, record_id, conversation in self._rows(sql, (*some, tenant)):
                    found.setdefault(full_hash, (record_id, conversation))
        return found

    def expire(self, before: int, limit: int) -> int:
        """Deletes records that started before a time."""
        with faults_told():
            return Deletion(self._connection).expire(before, limit)

    def expire_feedback(self, before: int, limit: int) -> int:
        """Deletes feedback that was given before a time and has no record."""
        with faults_told():
            return Deletion(self._connection).expire_feedback(before, limit)

    def erase(self, what: Erase, reason: str) -> int:
        """Deletes records for good, and leaves a tombstone of each."""
        with faults_told():
            return Deletion(self._connection).erase(what, reason, self._clock_us())

    def check(self) -> None:
        """Sees that the file is where others look for it."""
        with faults_told():
            if is_in_place(self._connection):
                return
            fold_log(self._connection)  # it stays at its path, where it would be taken for that of the next file
        raise StoreUnavailable("the file was moved or deleted; a new one is made")

    def tidy(self) -> None:
        """Gives freed pages back and empties the write-ahead log, as far as readers allow."""
        with faults_told():
            self._connection.execute("PRAGMA incremental_vacuum").fetchall()
            fold_log(self._connection)

    def interrupt(self) -> None:
        """Ends the statement that runs; may be called by another thread."""
        with suppress(apsw.ConnectionClosedError):
            self._connection.interrupt()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _entries(self, entries: Sequence[Entry]) -> tuple[int, int]:
        """Stores what is new; tells how many were stored, and how many had been erased."""
        known = self._known("record", [entry.record.id for entry in entries])
        erased = self._erased([entry.record.id for entry in entries])
        fresh, void = new_entries(entries, known, erased)
        if fresh:
            self._insert(fresh)
        return len(fresh), void

    def _insert(self, entries: Sequence[Entry]) -> None:
        first = self._take("seq", len(entries)) + 1
        bodies, lines = packed_bodies(entries, first, self._packer)
        execute = self._connection.executemany
        execute(_INSERT, figures(entries, first, self._clock_us()))
        execute("INSERT INTO label VALUES (?, ?, ?, ?)", labels(entries, first))
        # The tenant stands in the record alone.
        execute("INSERT INTO body VALUES (?, ?, ?, ?)", [(seq, *rest) for seq, _, *rest in bodies])
        execute("INSERT INTO line VALUES (?, ?, ?, ?)", [(seq, *rest) for seq, _, *rest in lines])
        self._reached("seq", last_positions((entry.record.tenant for entry in entries), first))

    def _feedback(self, given: Sequence[Feedback]) -> None:
        known = self._known("feedback", [each.id for each in given])
        erased = self._erased([each.record_id for each in given])
        fresh = new_feedback(given, known, erased)
        first = self._take("fseq", len(fresh)) + 1
        self._connection.executemany(
            "INSERT INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", judgements(fresh, first)
        )
        self._reached("fseq", last_positions((each.tenant for each in fresh), first))

    def _calls(self, batch: Batch) -> None:
        opened = [msgspec.structs.astuple(call) for call in batch.opened]
        self._connection.executemany("INSERT OR REPLACE INTO open_call VALUES (?, ?, ?, ?, ?, ?)", opened)
        self._connection.executemany("DELETE FROM open_call WHERE id = ?", [(each,) for each in batch.closed])

    def _known(self, table: str, ids: Sequence[bytes]) -> set[bytes]:
        """Those of the ids that the table has."""
        return {row[0] for row in self._of("id", table, ids)}

    def _erased(self, ids: Sequence[bytes]) -> dict[bytes, str]:
        """Those of the ids that have a tombstone, and whose it is."""
        return dict(self._of("id, tenant", "tombstone", ids))

    def _of(self, columns: str, table: str, ids: Sequence[bytes]) -> Iterator[Row]:
        for start in range(0, len(ids), _IN_ONE_STATEMENT):
            some = ids[start : start + _IN_ONE_STATEMENT]
            sql = f"SELECT {columns} FROM {table} WHERE id IN ({', '.join('?' * len(some))})"  # noqa: S608 - our own names
            yield from self._rows(sql, some)

    def _take(self, counter: str, count: int) -> int:
        """Takes positions; gives the one before the first. What a failed transaction took was never taken."""
        sql = "UPDATE counter SET value = value + ? WHERE name = ? RETURNING value"
        after: int = self._rows(sql, (count, counter))[0][0]
        return after - count

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        rows: list[Row] = self._connection.execute(sql, values).fetchall()
        return rows

    def _reached(self, column: str, last: dict[str, int]) -> None:
        sql = (
            f"INSERT INTO watermark (tenant, {column}) VALUES (?, ?) "  # noqa: S608 - our own names
            f"ON CONFLICT (tenant) DO UPDATE SET {column} = excluded.{column}"
        )
        self._connection.executemany(sql, last.items())
