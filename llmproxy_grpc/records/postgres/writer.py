"""The session that writes: batches by COPY, each in one transaction, positions in the order of commits."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

import asyncpg
import msgspec

from llmproxy_grpc.records.compression import Packer
from llmproxy_grpc.records.postgres.connection import Connection, fit_row
from llmproxy_grpc.records.postgres.deletion import Deletion
from llmproxy_grpc.records.postgres.schema import (
    LOCK,
    PARTITION_ROWS,
    PARTITIONED,
    partition_of,
    partition_statements,
)
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
from llmproxy_grpc.records.store import Batch, Erase, Written

Session: TypeAlias = asyncpg.Connection

STAGES: Final = tuple(
    f"CREATE TEMP TABLE IF NOT EXISTS stage_{table} (LIKE {table}) ON COMMIT DELETE ROWS"
    for table in (*PARTITIONED, "feedback")
)
"""COPY does not know the rules of rows, so it fills tables of the session's own first."""


class PostgresWriter:
    """Writes; used by one thread at a time. Several hosts may write: each commit waits for the one before.

    Args:
        connection: Its own, whose sessions begin with STAGES; it closes it.
        spool: Which spool is ingested: every host has one, and knows nothing of the others' segments and open calls.
        clock_us: The wall clock, in microseconds.
        partition_rows: Positions in a partition.
    """

    def __init__(
        self,
        connection: Connection,
        spool: str,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        partition_rows: int = PARTITION_ROWS,
    ) -> None:
        self._connection = connection
        self._spool = spool
        self._clock_us = clock_us
        self._rows = partition_rows
        self._packer = Packer()

    def write(self, batch: Batch) -> Written:
        """Commits a batch, all of it or nothing.

        The counters' rows stay locked until the commit, so positions become visible in their order: a reader that has
        seen one will never find a lower one later.
        """

        async def work(session: Session) -> Written:
            async with session.transaction():
                # First, and always in this order: hosts wait for each other here and nowhere else.
                await session.execute(LOCK)
                records, erased = await self._entries(session, batch.entries)
                await self._feedback(session, batch.feedback)
                await self._calls(session, batch)
            return Written(records, erased)

        return self._connection.run(work)

    def progress(self) -> dict[str, int]:
        """By segment, up to which byte it has been committed."""
        rows = self._connection.query("SELECT name, position FROM segment WHERE spool = ?", [self._spool])
        return {str(name): int(position) for name, position in rows}

    def open_calls(self) -> list[OpenCall]:
        """Calls that have begun and not ended."""
        sql = f"SELECT {', '.join(OpenCall.__struct_fields__)} FROM open_call WHERE spool = ? ORDER BY id"  # noqa: S608 - names of our own fields
        return [OpenCall(*row) for row in self._connection.query(sql, [self._spool])]

    def parents(self, tenant: str, hashes: Sequence[bytes]) -> dict[bytes, tuple[bytes, str]]:
        """Id and conversation of the records with these full hashes, the first stored of each."""
        sql = (
            "SELECT DISTINCT ON (full_hash) full_hash, id, conversation FROM record "
            "WHERE full_hash = ANY(?) AND tenant = ? ORDER BY full_hash, seq"
        )
        rows = self._connection.query(sql, (list(hashes), tenant))
        return {full_hash: (record_id, conversation) for full_hash, record_id, conversation in rows}

    def expire(self, before: int, limit: int) -> int:
        """Deletes records that started before a time; whole partitions at once, of which there may be more."""
        return Deletion(self._connection, self._rows).expire(before, limit)

    def expire_feedback(self, before: int, limit: int) -> int:
        """Deletes feedback that was given before a time and has no record."""
        return Deletion(self._connection, self._rows).expire_feedback(before, limit)

    def erase(self, what: Erase, reason: str) -> int:
        """Deletes records for good, and leaves a tombstone of each."""
        return Deletion(self._connection, self._rows).erase(what, reason, self._clock_us())

    def check(self) -> None:
        """Nothing to do: whoever has the session has the database that others find."""

    def tidy(self) -> None:
        """Nothing to do: the server's own autovacuum gives room back."""

    def interrupt(self) -> None:
        """Breaks the session off; may be called by another thread."""
        self._connection.interrupt()

    def close(self) -> None:
        """Closes the session."""
        self._connection.close()

    async def _entries(self, session: Session, entries: Sequence[Entry]) -> tuple[int, int]:
        """Stores what is new; tells how many were stored, and how many had been erased."""
        ids = [entry.record.id for entry in entries]
        known = await _known(session, "SELECT id FROM record_key WHERE id = ANY($1)", ids)
        erased = await _erased(session, ids)
        fresh, void = new_entries(entries, known, erased)
        if fresh:
            await self._insert(session, fresh)
        return len(fresh), void

    async def _insert(self, session: Session, entries: Sequence[Entry]) -> None:
        first, now = await _take(session, "seq", len(entries)) + 1, self._clock_us()
        await self._make_partitions(session, first, first + len(entries) - 1)
        bodies, lines = packed_bodies(entries, first, self._packer)
        await _copy(session, "record", figures(entries, first, now), COLUMNS)
        await session.execute("INSERT INTO record_key SELECT id, seq FROM stage_record")
        # Two keys that only NUL told apart have become one.
        await _copy(session, "label", dict.fromkeys(map(fit_row, labels(entries, first))))
        await _copy(session, "body", bodies)
        await _copy(session, "line", lines)
        await _reached(session, "seq", last_positions((entry.record.tenant for entry in entries), first))

    async def _make_partitions(self, session: Session, first: int, last: int) -> None:
        for number in range(partition_of(first, self._rows), partition_of(last, self._rows) + 1):
            if await session.fetchval("SELECT to_regclass($1)", f"label_{number}") is None:
                for statement in partition_statements(number, self._rows):
                    await session.execute(statement)

    async def _feedback(self, session: Session, given: Sequence[Feedback]) -> None:
        known = await _known(session, "SELECT id FROM feedback WHERE id = ANY($1)", [each.id for each in given])
        erased = await _erased(session, [each.record_id for each in given])
        fresh = new_feedback(given, known, erased)
        if fresh:
            first = await _take(session, "fseq", len(fresh)) + 1
            await _copy(session, "feedback", judgements(fresh, first))
            await _reached(session, "fseq", last_positions((each.tenant for each in fresh), first))

    async def _calls(self, session: Session, batch: Batch) -> None:
        """Open calls and segments; what comes twice in a batch counts as it came last."""
        names = ", ".join(OpenCall.__struct_fields__)
        await session.executemany(
            f"INSERT INTO open_call (spool, {names}) VALUES ($1, $2, $3, $4, $5, $6, $7) "  # noqa: S608 - names of our own fields
            "ON CONFLICT (id) DO NOTHING",
            [fit_row((self._spool, *msgspec.structs.astuple(call))) for call in batch.opened],
        )
        await session.execute("DELETE FROM open_call WHERE id = ANY($1)", list(batch.closed))
        await session.executemany(
            "INSERT INTO segment VALUES ($1, $2, $3) "
            "ON CONFLICT (spool, name) DO UPDATE SET position = excluded.position",
            [(self._spool, name, position) for name, position in batch.progress.items()],
        )
        await session.execute(
            "DELETE FROM segment WHERE spool = $1 AND name = ANY($2)", self._spool, list(batch.forget)
        )


async def _copy(
    session: Session, table: str, rows: Iterable[Iterable[object]], columns: Sequence[str] | None = None
) -> None:
    fitted = [fit_row(row) for row in rows]
    if fitted:
        await session.copy_records_to_table(f"stage_{table}", records=fitted, columns=columns)
        names = ", ".join(columns) if columns else "*"
        into = f"({names})" if columns else ""
        await session.execute(f"INSERT INTO {table} {into} SELECT {names} FROM stage_{table}")  # noqa: S608 - our own names


async def _known(session: Session, sql: str, ids: Sequence[bytes]) -> set[bytes]:
    return {row[0] for row in await session.fetch(sql, list(ids))} if ids else set()


async def _erased(session: Session, ids: Sequence[bytes]) -> dict[bytes, str]:
    """Those of the ids that have a tombstone, and whose it is."""
    sql = "SELECT id, tenant FROM tombstone WHERE id = ANY($1)"
    return {row["id"]: row["tenant"] for row in await session.fetch(sql, list(ids))} if ids else {}


async def _take(session: Session, counter: str, count: int) -> int:
    """Takes positions; gives the one before the first. What a failed transaction took was never taken."""
    sql = "UPDATE counter SET value = value + $1 WHERE name = $2 RETURNING value"
    after: int = await session.fetchval(sql, count, counter)
    return after - count


async def _reached(session: Session, column: str, last: dict[str, int]) -> None:
    await session.executemany(
        f"INSERT INTO watermark (tenant, {column}) VALUES ($1, $2) "  # noqa: S608 - our own names
        f"ON CONFLICT (tenant) DO UPDATE SET {column} = excluded.{column}",
        [fit_row(pair) for pair in last.items()],
    )
