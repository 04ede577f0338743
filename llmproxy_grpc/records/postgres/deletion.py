"""Deletes records with all that hangs on them: by age, whole partitions where it can, and by erasure."""

from typing import Final, TypeAlias

import asyncpg

from llmproxy_grpc.records.postgres.connection import Connection, fit, numbered
from llmproxy_grpc.records.postgres.schema import LOCK, PARTITIONED, partition_of
from llmproxy_grpc.records.rows import EVERY_TENANT
from llmproxy_grpc.records.store import Erase

Session: TypeAlias = asyncpg.Connection

AT_ONCE: Final = 500
REWRITE_TIMEOUT: Final = 24 * 3600.0
"""Longest time for writing one table anew, in seconds: it depends on the table's size, and nothing waits for it."""

_EXPIRED: Final = """
SELECT old.seq, old.id, old.tenant FROM watermark CROSS JOIN LATERAL (
    SELECT seq, id, tenant FROM record
    WHERE record.tenant = watermark.tenant AND started_at < $1 ORDER BY started_at LIMIT $2
) AS old LIMIT $2
"""
"""Tenant by tenant, as the index by time is."""

_ENTOMB: Final = """
INSERT INTO tombstone VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, seq = excluded.seq, reason = excluded.reason, at = excluded.at
WHERE tombstone.seq = 0
"""
"""Leaves a tombstone; one of a record takes the place of one that kept an id out which had not come."""

_FORLORN: Final = """
DELETE FROM feedback WHERE fseq IN (
    SELECT fseq FROM feedback AS f
    WHERE created_at < $1 AND NOT EXISTS (SELECT 1 FROM record_key WHERE id = f.record_id)
    ORDER BY fseq LIMIT $2
)
RETURNING fseq
"""
"""Deletes judgements of an age whose record never came, or has gone."""

_TURN: Final = "SELECT value FROM counter WHERE name = 'expired' FOR UPDATE SKIP LOCKED"
"""Gives a row to the one host that may expire now, until its commit."""


class Deletion:
    """Deletes on a connection that writes; `rows` is how many positions a partition has."""

    def __init__(self, connection: Connection, rows: int) -> None:
        self._connection = connection
        self._rows = rows

    def expire(self, before: int, limit: int) -> int:
        """Drops the oldest partition if all of it started before a time, else deletes some of its records.

        Nothing is to be done while another host does it.
        """

        async def work(session: Session) -> int:
            async with session.transaction():
                if await session.fetchval(_TURN) is None:
                    return 0
                gone = await self._drop_oldest(session, before)
                if not gone:
                    gone = await _delete(
                        session,
                        await session.fetch(
                            _EXPIRED,
                            before,
                            limit,
                        ),
                    )
                await session.execute("UPDATE counter SET value = value + $1 WHERE name = 'expired'", gone)
            return gone

        return self._connection.run(work)

    def expire_feedback(self, before: int, limit: int) -> int:
        """Deletes feedback of an age without a record, so much at most."""
        return len(self._connection.query(_FORLORN, (before, limit)))

    def erase(self, what: Erase, reason: str, now: int) -> int:
        """Deletes records, each with a tombstone, has the planner sample what is left, and writes their tables anew.

        What is left of them then is in the write-ahead log, in old rows of the server's own catalogue and in backups,
        until these are recycled.
        """

        async def work(session: Session) -> int:
            erased = 0
            while True:
                async with session.transaction():
                    rows = await _matching(session, what)
                    await session.executemany(
                        _ENTOMB, [(row["id"], row["tenant"], row["seq"], fit(reason), now) for row in rows]
                    )
                    await _delete(session, rows)
                    if not rows and what.id is not None:
                        await _forbid(session, what, reason, now)
                    if rows or what.id is not None:
                        await self._note(session, rows)
                if not rows:
                    return erased
                erased += len(rows)

        erased = self._connection.run(work)
        self._connection.run(_drop_emptied)
        self._connection.run(_rewrite)
        return erased

    async def _note(self, session: Session, rows: list[asyncpg.Record]) -> None:
        """Notes the tables that are to be written anew, with what was deleted: a rewriting that fails is made up for.

        Each note counts, so that one that comes while its table is written anew is not taken for done.
        """
        numbers = sorted({partition_of(row["seq"], self._rows) for row in rows})
        tables = [f"{table}_{number}" for number in numbers for table in PARTITIONED]
        await session.executemany(
            "INSERT INTO rewriting VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET round = rewriting.round + 1",
            [(name,) for name in (*tables, "feedback")],
        )

    async def _drop_oldest(self, session: Session, before: int) -> int:
        """Drops the oldest partition, unless it is the one being filled or holds a younger record.

        Those before it of which nothing is left, as all has been deleted row by row, go with it.
        """
        newest = await session.fetchval("SELECT value FROM counter WHERE name = 'seq'")
        for number in await _complete(session, partition_of(newest, self._rows)):
            if await session.fetchval(_younger(number), before):
                return 0
            count = await session.fetchval(f"SELECT count(*) FROM record_{number}")  # noqa: S608 - our own name
            await session.execute(
                f"DELETE FROM feedback WHERE record_id IN (SELECT id FROM record_{number})"  # noqa: S608 - our own name
            )
            await session.execute("DELETE FROM record_key WHERE seq >= $1 AND seq < $2", *self._bounds(number))
            await _drop(session, number)
            if count:
                return int(count)
        return 0

    def _bounds(self, number: int) -> tuple[int, int]:
        return number * self._rows, (number + 1) * self._rows


def _younger(number: int) -> str:
    """Asks whether a partition has a record from a time on: by its index, tenant by tenant, for it is asked often."""
    return f"""
        SELECT EXISTS (SELECT FROM watermark CROSS JOIN LATERAL (
            SELECT FROM record_{number} AS record WHERE record.tenant = watermark.tenant AND started_at >= $1
            ORDER BY started_at DESC LIMIT 1
        ) AS younger)
    """  # noqa: S608 - our own name


async def _complete(session: Session, filling: int) -> list[int]:
    """The numbers of the partitions before the one being filled, the oldest first."""
    sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'record'::regclass"
    numbers = (int(name.rpartition("_")[2]) for (name,) in await session.fetch(sql))
    return sorted(number for number in numbers if number < filling)


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
    tenant = EVERY_TENANT if what.tenant is None else fit(what.tenant)
    if not await session.fetchval("SELECT 1 FROM record_key WHERE id = $1", what.id):
        await session.execute(_ENTOMB, what.id, tenant, 0, fit(reason), now)
    await session.execute(
        "DELETE FROM feedback WHERE record_id = $1 AND ($2 = $3 OR tenant = $2)", what.id, tenant, EVERY_TENANT
    )


async def _drop_emptied(session: Session) -> None:
    """Drops the partitions of which an erasure has left nothing: the planner keeps its samples of an empty table."""
    for (name,) in await session.fetch("SELECT name FROM rewriting WHERE name ~ '^record_' ORDER BY name"):
        async with session.transaction():
            await session.execute(LOCK)  # whoever writes next makes the partition that is missing
            there = await session.fetchval("SELECT to_regclass($1)", name) is not None
            if there and not await session.fetchval(f"SELECT EXISTS (SELECT FROM {name})"):  # noqa: S608 - our own name
                await _drop(session, int(name.removeprefix("record_")))


async def _drop(session: Session, number: int) -> None:
    """Drops a partition of every table, in the order in which all others come upon them: nobody waits in a circle."""
    for table in PARTITIONED:
        await session.execute(f"DROP TABLE {table}_{number}")


async def _rewrite(session: Session) -> None:
    """Writes the tables anew that are noted, also by erasures before that did not get so far."""
    noted = await session.fetch("SELECT name, round FROM rewriting ORDER BY name")
    if noted:
        # Of whole tables, partitions included: autovacuum never samples them, so it would not forget either.
        await session.execute("ANALYZE record, label, feedback", timeout=REWRITE_TIMEOUT)
    for name, done in noted:
        if await session.fetchval("SELECT to_regclass($1)", name) is not None:  # else it was dropped as a whole
            await session.execute(f"VACUUM FULL {name}", timeout=REWRITE_TIMEOUT)
        await session.execute("DELETE FROM rewriting WHERE name = $1 AND round = $2", name, done)


async def _delete(session: Session, rows: list[asyncpg.Record]) -> int:
    seqs, ids = [row["seq"] for row in rows], [row["id"] for row in rows]
    for table in PARTITIONED:
        await session.execute(f"DELETE FROM {table} WHERE seq = ANY($1)", seqs)  # noqa: S608 - our own names
    await session.execute("DELETE FROM feedback WHERE record_id = ANY($1)", ids)
    await session.execute("DELETE FROM record_key WHERE id = ANY($1)", ids)
    return len(rows)
