"""A session that reads: pages of figures, content by position, judgements as of a moment."""

from collections.abc import Sequence
from typing import Final

from llmproxy_grpc.records.compression import Unpacker
from llmproxy_grpc.records.postgres.connection import EVERYBODY, Connection
from llmproxy_grpc.records.record import Body, Feedback, Record, Tombstone, Watermarks
from llmproxy_grpc.records.rows import bodies_of, checked_columns, feedback_of, lines_of
from llmproxy_grpc.records.store import Page, Row, Statistics

_RECORD: Final = ", ".join(f"r.{name}" for name in Record.__struct_fields__)


class PostgresReader:
    """Reads; used by one thread at a time. Each statement is a transaction of its own.

    Args:
        connection: Its own; it closes it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._unpacker = Unpacker()

    def watermarks(self, tenant: str) -> Watermarks:
        """How far the tenant's rows reach now."""
        rows = self.query(tenant, "SELECT seq, fseq FROM watermark WHERE tenant = ?")
        return Watermarks(*rows[0]) if rows else Watermarks()

    def columns(self, page: Page, names: Sequence[str]) -> list[Row]:
        """Some columns of rows by condition, in the order of seq."""
        sql = (
            f"SELECT {checked_columns(names)} FROM record AS r WHERE r.tenant = ? AND r.seq > ? AND r.seq <= ? "  # noqa: S608 - our own names and compiled conditions; values are bound
            f"AND ({page.condition.sql}) ORDER BY r.seq LIMIT ?"
        )
        values = (page.after_seq, page.as_of_seq, *page.condition.values, page.limit)
        return self.query(page.tenant, sql, values)

    def query(self, tenant: str, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Runs a reading statement, whose first `?` is the tenant."""
        return self._connection.query(sql, (tenant, *values), tenant=tenant)

    def records(self, tenant: str, seqs: Sequence[int]) -> dict[int, Record]:
        """Rows by position."""
        sql = f"SELECT {_RECORD} FROM record AS r WHERE r.tenant = ? AND r.seq = ANY(?)"  # noqa: S608 - names of our own fields
        return {record.seq: record for record in map(_record, self._at(tenant, sql, seqs))}

    def bodies(self, tenant: str, seqs: Sequence[int]) -> dict[int, Body]:
        """Content by position, lines included."""
        sql = (
            "SELECT b.seq, b.codec, b.request, b.response, l.codec, l.line, l.fault FROM body AS b "
            "LEFT JOIN line AS l ON l.seq = b.seq WHERE b.tenant = ? AND b.seq = ANY(?)"
        )
        return bodies_of(self._at(tenant, sql, seqs), self._unpacker)

    def lines(self, tenant: str, seqs: Sequence[int]) -> dict[int, tuple[bytes | None, str]]:
        """Lines of OPENAI_CHAT with their faults, by position."""
        sql = "SELECT seq, codec, line, fault FROM line WHERE tenant = ? AND seq = ANY(?)"
        return lines_of(self._at(tenant, sql, seqs), self._unpacker)

    def feedback(self, tenant: str, record_ids: Sequence[bytes], as_of: int) -> dict[bytes, list[Feedback]]:
        """The latest judgements of each name, kind and source, by record."""
        sql = (
            f"SELECT {', '.join(Feedback.__struct_fields__)} FROM ("  # noqa: S608 - names of our own fields
            "SELECT DISTINCT ON (record_id, name, kind, source) * FROM feedback "
            "WHERE tenant = ? AND record_id = ANY(?) AND fseq <= ? "
            "ORDER BY record_id, name, kind, source, fseq DESC) AS latest ORDER BY fseq"
        )
        return feedback_of(self.query(tenant, sql, (list(record_ids), as_of)))

    def tombstones(self, tenant: str, after_seq: int, as_of_seq: int) -> list[Tombstone]:
        """What was erased of these positions."""
        sql = "SELECT id, seq, reason, at FROM tombstone WHERE tenant = ? AND seq > ? AND seq <= ? ORDER BY seq"
        return [Tombstone(*row) for row in self.query(tenant, sql, (after_seq, as_of_seq))]

    def statistics(self) -> Statistics:
        """How much there is."""
        sql = (
            "SELECT (SELECT count(*) FROM record), (SELECT count(*) FROM body), (SELECT count(*) FROM feedback), "
            "(SELECT count(*) FROM tombstone), (SELECT count(*) FROM open_call), "
            "(SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace), "
            "(SELECT min(started_at) FROM record), (SELECT max(started_at) FROM record)"
        )
        return Statistics(*self._connection.query(sql, tenant=EVERYBODY)[0])

    def interrupt(self) -> None:
        """Ends the statement that runs; may be called by another thread."""
        self._connection.interrupt()

    def close(self) -> None:
        """Closes the session."""
        self._connection.close()

    def _at(self, tenant: str, sql: str, seqs: Sequence[int]) -> list[Row]:
        return self.query(tenant, sql, (list(seqs),))


def _record(row: Row) -> Record:
    return Record(**dict(zip(Record.__struct_fields__, row, strict=True)))
