"""Deletes records with all that hangs on them: by age, a few at a time, and by erasure, down to the bytes."""

from collections.abc import Iterator, Sequence
from typing import Final

import apsw
import msgspec

from llmproxy_grpc.records.rows import EVERY_TENANT
from llmproxy_grpc.records.sqlite.connection import fold_log, transaction
from llmproxy_grpc.records.store import Erase, Row, StoreUnavailable

AT_ONCE: Final = 500
TRIES: Final = 5

_FORLORN: Final = """
DELETE FROM feedback WHERE fseq IN (
    SELECT fseq FROM feedback AS f
    WHERE created_at < ? AND NOT EXISTS (SELECT 1 FROM record WHERE id = f.record_id)
    ORDER BY fseq LIMIT ?
)
"""
"""Deletes judgements of an age whose record never came, or has gone."""

_ENTOMB: Final = """
INSERT INTO tombstone VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, seq = excluded.seq, reason = excluded.reason, at = excluded.at
WHERE tombstone.seq = 0
"""
"""Leaves a tombstone; one of a record takes the place of one that kept an id out which had not come."""


class Deletion:
    """Deletes on a connection that writes."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def expire(self, before: int, limit: int) -> int:
        """Deletes records that started before a time, so many at most."""
        with transaction(self._connection):
            rows = self._older(before, limit)
            self._delete(rows)
            self._connection.execute("UPDATE counter SET value = value + ? WHERE name = 'expired'", (len(rows),))
        return len(rows)

    def expire_feedback(self, before: int, limit: int) -> int:
        """Deletes feedback of that age without a record, so much at most."""
        with transaction(self._connection):
            self._connection.execute(_FORLORN, (before, limit))
            return self._connection.changes()

    def erase(self, what: Erase, reason: str, now: int) -> int:
        """Deletes records, each with a tombstone, and empties the write-ahead log, where their bytes still are."""
        erased = 0
        for rows in self._matching(what):
            with transaction(self._connection):
                self._delete(rows)
                self._connection.executemany(
                    _ENTOMB, [(record_id, tenant, seq, reason, now) for seq, record_id, tenant, _ in rows]
                )
            erased += len(rows)
        if what.id is not None:
            self._forbid(what, reason, now)
        self._empty_log()
        return erased

    def _empty_log(self) -> None:
        """Empties the write-ahead log, which holds what was deleted; a reader may hold it up for a moment."""
        for _ in range(TRIES):
            if fold_log(self._connection):
                return
        raise StoreUnavailable("erased, but a reader holds the log in which the bytes still are: erase again")

    def _older(self, before: int, limit: int) -> list[Row]:
        """Tenant by tenant, as the index by time is."""
        sql = "SELECT seq, id, tenant, labels FROM record WHERE tenant = ? AND started_at < ? LIMIT ?"
        rows: list[Row] = []
        for (tenant,) in self._connection.execute("SELECT tenant FROM watermark").fetchall():
            rows += self._connection.execute(sql, (tenant, before, limit - len(rows))).fetchall()
        return rows

    def _matching(self, what: Erase) -> Iterator[list[Row]]:
        """Rows as above, some at a time, until those before have been deleted."""
        column = next(name for name in ("id", "end_user", "conversation") if getattr(what, name) is not None)
        sql = f"SELECT seq, id, tenant, labels FROM record WHERE {column} = ?"  # noqa: S608 - one of three names
        values: list[object] = [getattr(what, column)]
        if column == "end_user":
            sql += " AND end_user <> ''"
        if what.tenant is not None:
            sql += " AND tenant = ?"
            values.append(what.tenant)
        while True:
            rows: list[Row] = self._connection.execute(f"{sql} LIMIT {AT_ONCE}", values).fetchall()
            if not rows:
                return
            yield rows

    def _forbid(self, what: Erase, reason: str, now: int) -> None:
        """Leaves a tombstone of an id that has not come yet, so that it will not be stored when it does."""
        tenant = EVERY_TENANT if what.tenant is None else what.tenant
        with transaction(self._connection):
            if not self._connection.execute("SELECT 1 FROM record WHERE id = ?", (what.id,)).fetchall():
                self._connection.execute(_ENTOMB, (what.id, tenant, 0, reason, now))
            self._connection.execute(
                "DELETE FROM feedback WHERE record_id = ?1 AND (?2 = ?3 OR tenant = ?2)",
                (what.id, tenant, EVERY_TENANT),
            )

    def _delete(self, rows: Sequence[Row]) -> None:
        seqs = [(seq,) for seq, *_ in rows]
        labels = [
            (tenant, key, value, seq)
            for seq, _, tenant, stored in rows
            if stored
            for key, value in msgspec.json.decode(stored, type=dict[str, str]).items()
        ]
        execute = self._connection.executemany
        execute("DELETE FROM label WHERE tenant = ? AND key = ? AND value = ? AND seq = ?", labels)
        execute("DELETE FROM line WHERE seq = ?", seqs)
        execute("DELETE FROM body WHERE seq = ?", seqs)
        execute("DELETE FROM feedback WHERE record_id = ?", [(record_id,) for _, record_id, *_ in rows])
        execute("DELETE FROM record WHERE seq = ?", seqs)
