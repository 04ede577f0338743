"""The one connection that writes to the file: batches of rows, and what is deleted."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import apsw
import msgspec

from llmproxy_grpc.records.compression import RAW, Packer
from llmproxy_grpc.records.record import Entry, Feedback, OpenCall, Record
from llmproxy_grpc.records.sqlite.connection import transaction
from llmproxy_grpc.records.sqlite.deletion import Deletion
from llmproxy_grpc.records.sqlite.faults import faults_told
from llmproxy_grpc.records.store import Batch, Erase, Row, Written

_COLUMNS: Final = Record.__struct_fields__
_INSERT: Final = f"INSERT INTO record ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - names of our own fields
_SEQ: Final = _COLUMNS.index("seq")
_INGESTED_AT: Final = _COLUMNS.index("ingested_at")
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
            records, repeated, erased = self._entries(batch.entries)
            feedback, again, void = self._feedback(batch.feedback)
            self._calls(batch)
            self._connection.executemany("INSERT OR REPLACE INTO segment VALUES (?, ?)", batch.progress.items())
            self._connection.executemany("DELETE FROM segment WHERE name = ?", [(name,) for name in batch.forget])
        return Written(records, feedback, repeated + again, erased, void)

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
        """Deletes records that started before a time, and feedback of that age whose record never came."""
        with faults_told():
            return Deletion(self._connection).expire(before, limit)

    def erase(self, what: Erase, reason: str) -> int:
        """Deletes records for good, and leaves a tombstone of each."""
        with faults_told():
            return Deletion(self._connection).erase(what, reason, self._clock_us())

    def tidy(self) -> None:
        """Gives freed pages back and empties the write-ahead log, as far as readers allow."""
        with faults_told():
            self._connection.execute("PRAGMA incremental_vacuum").fetchall()
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _entries(self, entries: Sequence[Entry]) -> tuple[int, int, int]:
        """Stores what is new; tells how many were stored, were there already, and had been erased."""
        known = self._known("record", "id", [entry.record.id for entry in entries])
        erased = self._known("tombstone", "id", [entry.record.id for entry in entries])
        fresh: dict[bytes, Entry] = {}
        for entry in entries:
            if entry.record.id not in known and entry.record.id not in erased:
                fresh.setdefault(entry.record.id, entry)
        if fresh:
            self._insert(list(fresh.values()))
        void = sum(1 for entry in entries if entry.record.id in erased)
        return len(fresh), len(entries) - len(fresh) - void, void

    def _insert(self, entries: Sequence[Entry]) -> None:
        first, now = self._take("seq", len(entries)) + 1, self._clock_us()
        rows: list[Row] = []
        last: dict[str, int] = {}
        for seq, entry in enumerate(entries, first):
            row = [getattr(entry.record, name) for name in _COLUMNS]
            row[_SEQ], row[_INGESTED_AT] = seq, now
            rows.append(tuple(row))
            last[entry.record.tenant] = seq
        self._connection.executemany(_INSERT, rows)
        self._insert_labels(entries, first)
        self._insert_bodies(entries, first)
        self._reached("seq", last)

    def _insert_labels(self, entries: Sequence[Entry], first: int) -> None:
        labels = [
            (entry.record.tenant, key, value, seq)
            for seq, entry in enumerate(entries, first)
            if entry.record.labels
            for key, value in msgspec.json.decode(entry.record.labels, type=dict[str, str]).items()
        ]
        self._connection.executemany("INSERT INTO label VALUES (?, ?, ?, ?)", labels)

    def _insert_bodies(self, entries: Sequence[Entry], first: int) -> None:
        bodies: list[Row] = []
        lines: list[Row] = []
        for seq, entry in enumerate(entries, first):
            body = entry.body
            if body is None:
                continue
            bodies.append((seq, *self._packed(body.request, body.response)))
            if body.line is not None or body.line_fault:
                codec, line = (RAW, None) if body.line is None else self._packer.pack(body.line)
                lines.append((seq, codec, body.line_fault, line))
        self._connection.executemany("INSERT INTO body VALUES (?, ?, ?, ?)", bodies)
        self._connection.executemany("INSERT INTO line VALUES (?, ?, ?, ?)", lines)

    def _packed(self, request: bytes, response: bytes) -> tuple[int, bytes, bytes]:
        """One codec of two bits for both: the request's in the lower one."""
        lower, packed_request = self._packer.pack(request)
        upper, packed_response = self._packer.pack(response)
        return lower | upper << 1, packed_request, packed_response

    def _feedback(self, judgements: Sequence[Feedback]) -> tuple[int, int, int]:
        known = self._known("feedback", "id", [each.id for each in judgements])
        erased = self._known("tombstone", "id", [each.record_id for each in judgements])
        fresh: dict[bytes, Feedback] = {}
        for each in judgements:
            if each.id not in known and each.record_id not in erased:
                fresh.setdefault(each.id, each)
        first = self._take("fseq", len(fresh)) + 1
        rows, last = [], {}
        for fseq, each in enumerate(fresh.values(), first):
            value = (each.name, int(each.kind), each.number, each.content, each.source, each.created_at)
            rows.append((fseq, each.id, each.tenant, each.record_id, *value))
            last[each.tenant] = fseq
        self._connection.executemany("INSERT INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._reached("fseq", last)
        void = sum(1 for each in judgements if each.record_id in erased)
        return len(fresh), len(judgements) - len(fresh) - void, void

    def _calls(self, batch: Batch) -> None:
        opened = [msgspec.structs.astuple(call) for call in batch.opened]
        self._connection.executemany("INSERT OR REPLACE INTO open_call VALUES (?, ?, ?, ?, ?, ?)", opened)
        self._connection.executemany("DELETE FROM open_call WHERE id = ?", [(each,) for each in batch.closed])

    def _known(self, table: str, column: str, ids: Sequence[bytes]) -> set[bytes]:
        """Those of the ids that the table has."""
        found: set[bytes] = set()
        for start in range(0, len(ids), _IN_ONE_STATEMENT):
            some = ids[start : start + _IN_ONE_STATEMENT]
            sql = f"SELECT {column} FROM {table} WHERE {column} IN ({', '.join('?' * len(some))})"  # noqa: S608 - our own names
            found.update(row[0] for row in self._rows(sql, some))
        return found

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
