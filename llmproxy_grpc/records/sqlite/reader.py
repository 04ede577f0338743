"""A connection that reads the file: pages of figures, content by position, judgements as of a moment."""

from collections.abc import Iterator, Sequence
from typing import Final

import apsw

from llmproxy_grpc.records.compression import Unpacker
from llmproxy_grpc.records.record import Body, Feedback, Record, Tombstone, Watermarks
from llmproxy_grpc.records.rows import bodies_of, checked_columns, feedback_of, lines_of
from llmproxy_grpc.records.sqlite.faults import faults_told
from llmproxy_grpc.records.store import Page, Row, Statistics

_RECORD: Final = ", ".join(f"r.{name}" for name in Record.__struct_fields__)
_FLAGS: Final = [
    index
    for index, name in enumerate(Record.__struct_fields__)
    if name in {"fell_back", "complete", "has_tool_calls", "has_media", "training_ok"}
]
_IN_ONE_STATEMENT: Final = 500


class SqliteReader:
    """Reads; used by one thread at a time.

    Args:
        connection: Its own; it closes it.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._unpacker = Unpacker()

    def watermarks(self, tenant: str) -> Watermarks:
        """How far the tenant's rows reach now."""
        rows = self.query(tenant, "SELECT seq, fseq FROM watermark WHERE tenant = ?")
        return Watermarks(*rows[0]) if rows else Watermarks()

    def columns(self, page: Page, names: Sequence[str]) -> list[Row]:
        """Some columns of rows by condition, in the order of seq."""
        values = (page.after_seq, page.as_of_seq, *page.condition.values, page.limit)
        return self.query(page.tenant, page_sql(checked_columns(names), page.condition.sql), values)

    def query(self, tenant: str, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Runs a reading statement, whose first `?` is the tenant."""
        with faults_told():
            rows: list[Row] = self._connection.execute(sql, (tenant, *values)).fetchall()
            return rows

    def records(self, tenant: str, seqs: Sequence[int]) -> dict[int, Record]:
        """Rows by position."""
        found = self._by_seq(tenant, seqs, f"SELECT {_RECORD} FROM record AS r WHERE +r.tenant = ? AND r.seq IN ")  # noqa: S608 - names of our own fields
        return {record.seq: record for record in map(_record, found)}

    def bodies(self, tenant: str, seqs: Sequence[int]) -> dict[int, Body]:
        """Content by position, lines included."""
        sql = (
            "SELECT b.seq, b.codec, b.request, b.response, l.codec, l.line, l.fault FROM record AS r "
            "JOIN body AS b ON b.seq = r.seq LEFT JOIN line AS l ON l.seq = r.seq WHERE +r.tenant = ? AND r.seq IN "
        )
        return bodies_of(self._by_seq(tenant, seqs, sql), self._unpacker)

    def lines(self, tenant: str, seqs: Sequence[int]) -> dict[int, tuple[bytes | None, str]]:
        """Lines of OPENAI_CHAT with their faults, by position."""
        sql = (
            "SELECT l.seq, l.codec, l.line, l.fault FROM record AS r JOIN line AS l ON l.seq = r.seq "
            "WHERE +r.tenant = ? AND r.seq IN "
        )
        return lines_of(self._by_seq(tenant, seqs, sql), self._unpacker)

    def feedback(self, tenant: str, record_ids: Sequence[bytes], as_of: int) -> dict[bytes, list[Feedback]]:
        """The latest judgements of each name, kind and source, by record."""
        names = Feedback.__struct_fields__
        sql = (
            f"SELECT {', '.join(names)}, max(fseq) FROM feedback WHERE tenant = ? AND record_id IN (%s) "  # noqa: S608 - names of our own fields
            "AND fseq <= ? GROUP BY record_id, name, kind, source ORDER BY fseq"
        )
        return feedback_of(
            row
            for some in _portions(record_ids)
            for row in self.query(tenant, sql % ", ".join("?" * len(some)), (*some, as_of))
        )

    def tombstones(self, tenant: str, after_seq: int, as_of_seq: int) -> list[Tombstone]:
        """What was erased of these positions."""
        sql = "SELECT id, seq, reason, at FROM tombstone WHERE tenant = ? AND seq > ? AND seq <= ? ORDER BY seq"
        return [Tombstone(*row) for row in self.query(tenant, sql, (after_seq, as_of_seq))]

    def statistics(self) -> Statistics:
        """How much there is."""
        sql = (
            "SELECT (SELECT count(*) FROM record), (SELECT count(*) FROM body), (SELECT count(*) FROM feedback), "
            "(SELECT count(*) FROM tombstone), (SELECT count(*) FROM open_call), "
            "(SELECT page_count * page_size FROM pragma_page_count, pragma_page_size), "
            "(SELECT min(started_at) FROM record), (SELECT max(started_at) FROM record)"
        )
        with faults_told():
            row: Row = self._connection.execute(sql).fetchall()[0]
            return Statistics(*row)

    def interrupt(self) -> None:
        """Ends the statement that runs; may be called by another thread."""
        self._connection.interrupt()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _by_seq(self, tenant: str, seqs: Sequence[int], sql: str) -> Iterator[Row]:
        for some in _portions(seqs):
            yield from self.query(tenant, f"{sql} ({', '.join('?' * len(some))})", some)


def page_sql(columns: str, condition: str) -> str:
    """The statement of a page, by tenant, window, the condition's values, and limit."""
    # The plus takes the index of tenants out of the choice: most rows are of one tenant, and would have to be sorted.
    return (
        f"SELECT {columns} FROM record AS r WHERE +r.tenant = ? AND r.seq > ? AND r.seq <= ? "  # noqa: S608 - our own names and compiled conditions; values are bound
        f"AND ({condition}) ORDER BY r.seq LIMIT ?"
    )


def _portions(values: Sequence[object]) -> Iterator[Sequence[object]]:
    for start in range(0, len(values), _IN_ONE_STATEMENT):
        yield values[start : start + _IN_ONE_STATEMENT]


def _record(row: Row) -> Record:
    values = list(row)
    for index in _FLAGS:
        values[index] = bool(values[index])
    return Record(**dict(zip(Record.__struct_fields__, values, strict=True)))
