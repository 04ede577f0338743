"""Deletes records with all that hangs on them: by age, whole partitions where it can, and by erasure."""

from typing import Final, TypeAlias

import asyncpg

from llmproxy_grpc.records.postgres.connection import Connection, fit, numbered
from llmproxy_grpc.records.postgres.schema import PARTITIONED, partition_of
from llmproxy_grpc.records.store import Erase

Session: TypeAlias = asyncpg.Connection

AT_ONCE: Final = 500

_FORLORN: Final = """
DELETE FROM feedback WHERE fseq IN (
    SELECT fseq FROM feedback AS f
    WHERE created_at < $1 AND NOT EXISTS (SELECT 1 FROM record_key WHERE id = f.record_id)
    ORDER BY fseq LIMIT $2
)
"""
"""Deletes judgements of an age whose record never came, or has gone."""


class Deletion:
    """Deletes on a connection that writes; `rows` is how many positions a partition has."""

    def __init__(self, connection: Connection, rows: int) -> None:
        self._connection = connection
        self._rows = rows

    def expire(self, before: int, limit: int) -> int:
        """Drops the oldest partition if all of it started before a time, else deletes some of its records."""

        async def work(session: Session) -> int:
            async with session.transaction():
                gone = await self._drop_oldest(session, before)
                if not gone:
                    gone = await _delete(
                        session,
                        await session.fetch(
                            "SELECT seq, id, tenant FROM record WHERE started_at < $1 ORDER BY seq LIMIT $2",
                            before,
                            limit,
                        ),
                    )
                await session.execute("UPDATE counter SET value = value + $1 WHERE name = 'expired'", gone)
                if gone < limit:
                    await session.execute(_FORLORN, before, limit)
            return gone

        return self._connection.run(work)

    def erase(self, what: Erase, reason: str, now: int) -> int:
        """Deletes records, each with a tombstone, and writes the tables anew that held them.

        What is left of them then is in the write-ahead log and in backups, until these are recycled.
        """

        async def work(session: Session) -> tuple[int, set[int]]:
            erased = 0
            partitions: set[int] = set()
            while True:
                async with session.transaction():
                    rows = await _matching(session, what)
                    await session.executemany(
                        "INSERT INTO tombstone VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING",
                        [(row["id"], row["tenant"], row["seq"], fit(reason), now) for row in rows],
                    )
                    await _delete(session, rows)
                    if not rows and what.id is not None:
                        await _forbid(session, what, reason, now)
                if not rows:
                    return erased, partitions
                erased += len(rows)
                partitions |= {partition_of(row["seq"], self._rows) for row in rows}

        async def rewrite(session: Session) -> None:
            for number in sorted(partitions):
                for table in PARTITIONED:
                    await session.execute(f"VACUUM FULL {table}_{number}")
            await session.execute("VACUUM FULL feedback")

        erased, partitions = self._connection.run(work)
        if erased or what.id is not None:
            self._connection.run(rewrite)
        return erased

    async def _drop_oldest(self, session: Session, before: int) -> int:
        """Drops the oldest partition, unless it is the one being filled or holds a younger record."""
        oldest = await session.fetchval("SELECT min(seq) FROM record")
        if oldest is None:
            return 0
        number = partition_of(oldest, self._rows)
        newest = await session.fetchval("SELECT value FROM counter WHERE name = 'seq'")
        if number == partition_of(newest, self._rows):
            return 0
        count, youngest = await session.fetchrow(f"SELECT count(*), max(started_at) FROM record_{number}")  # noqa: S608 - our own name
        if youngest >= before:
            return 0
        await session.execute(
            f"DELETE FROM feedback WHERE record_id IN (SELECT id FROM record_{number})"  # noqa: S608 - our own name
        )
        await session.execute("DELETE FROM record_key WHERE seq >= $1 AND seq < $2", *self._bounds(number))
        for table in PARTITIONED:
            await session.execute(f"DROP TABLE {table}_{number}")
        return int(count)

    def _bounds(self, number: int) -> tuple[int, int]:
        return number * self._rows, (number + 1) * self._rows


async def _matching(session: Session, what: Erase) -> list[asyncpg.Record]:
    """Some of the records that are to be erased, until there are none."""
    column = next(name for name in ("id", "end_user", "conversation") if getattr(what, name) is not None)
    sql = f"SELECT seq, id, tenant FROM record WHERE {column} = ?"  # noqa: S608 - one of three names
    values: list[object] = [fit(getattr(what, column))]
    if column == "end_user":
        sql += " AND end_user <> ''"
    if what.tenant is not None:
        sql += " AND tenant = ?"
        values.append(fit(what.tenant))
    rows: list[asyncpg.Record] = await session.fetch(numbered(f"{sql} LIMIT {AT_ONCE}"), *values)
    return rows


async def _forbid(session: Session, what: Erase, reason: str, now: int) -> None:
    """Leaves a tombstone of an id that has not come yet, so that it will not be stored when it does."""
    await session.execute(
        "INSERT INTO tombstone VALUES ($1, $2, 0, $3, $4) ON CONFLICT (id) DO NOTHING",
        what.id,
        fit(what.tenant or ""),
        fit(reason),
        now,
    )
    await session.execute("DELETE FROM feedback WHERE record_id = $1", what.id)


async def _delete(session: Session, rows: list[asyncpg.Record]) -> int:
    seqs, ids = [row["seq"] for row in rows], [row["id"] for row in rows]
    for table in ("label", "line", "body", "record"):
        await session.execute(f"DELETE FROM {table} WHERE seq = ANY($1)", seqs)  # noqa: S608 - our own names
    await session.execute("DELETE FROM feedback WHERE record_id = ANY($1)", ids)
    await session.execute("DELETE FROM record_key WHERE id = ANY($1)", ids)
    return len(rows)
