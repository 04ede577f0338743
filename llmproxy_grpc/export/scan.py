"""Goes through the records that a filter matches, in short reads, in the order of the store."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from llmproxy_grpc.export.reading import labels_of, portions, read_bodies
from llmproxy_grpc.messages import Role
from llmproxy_grpc.records.decoding import Unreadable, read_texts
from llmproxy_grpc.records.filters import Filter, Window
from llmproxy_grpc.records.folding import fold, holds
from llmproxy_grpc.records.matching import Facts, matches
from llmproxy_grpc.records.record import Body
from llmproxy_grpc.records.sql import condition
from llmproxy_grpc.records.store import Page, RecordReader, Row

FIRST_SPAN: Final = 32_768
"""Positions that one read covers at first."""
LARGEST_SPAN: Final = 1_048_576
SHORT: Final = 0.020
LONG: Final = 0.100
"""Seconds: below the one the next read covers twice as much, above the other half."""
EARLIEST: Final = -(2**63)
LATEST: Final = 2**63 - 1


class Block(Struct, frozen=True):
    """Some matching records: of each the columns asked for, `seq` first; and up to where has been looked."""

    rows: Sequence[Row]
    reached: int


class Scanner:
    """Looks for records.

    Args:
        reader: The store.
        asked: The filter.
        window: Where to look.
        columns: Names of Record's fields; `seq` is to be the first, and `content_bytes` the second.
    """

    def __init__(
        self,
        reader: RecordReader,
        asked: Filter,
        window: Window,
        columns: Sequence[str],
    ) -> None:
        self._reader = reader
        self._asked = asked
        self._window = window
        self._columns = columns
        # What is judged is looked up over the whole store each time, so that there are to be few looks.
        self._span = LARGEST_SPAN if asked.feedback else FIRST_SPAN
        self._first, self._last = self._bounds()

    def block(self, after: int, limit: int) -> Block:
        """Looks on behind a position for a bounded time; the search is over once `reached` is the window's end."""
        window = self._window
        after = max(after, self._first - 1)
        if after >= self._last:
            return Block((), window.as_of_seq)
        upto = min(after + self._span, self._last)
        part = Window(window.tenant, after, upto, window.as_of_feedback_seq)
        page = Page(
            tenant=window.tenant,
            after_seq=after,
            as_of_seq=upto,
            condition=condition(self._asked, part),
            limit=limit,
        )
        began = time.monotonic()
        rows = self._reader.columns(page, self._columns)
        if len(rows) == limit:
            upto = rows[-1][0]
        else:
            self._adapt(time.monotonic() - began)
        if upto == self._last:
            upto = window.as_of_seq
        if self._asked.reads_text:
            rows = [row for portion in portions(rows, _size) for row in self._with_words(portion)]
        return Block(rows, upto)

    def _bounds(self) -> tuple[int, int]:
        """The first and last position that the times asked for can have: records are stored about as they begin."""
        asked, window = self._asked, self._window
        if asked.start_us is None and asked.end_us is None:
            return window.after_seq + 1, window.as_of_seq
        sql = (
            "SELECT min(seq), max(seq) FROM record WHERE tenant = ? AND started_at >= ? AND started_at < ? "
            "AND seq > ? AND seq <= ?"
        )
        start = EARLIEST if asked.start_us is None else asked.start_us
        end = LATEST if asked.end_us is None else asked.end_us
        ((first, last),) = self._reader.query(window.tenant, sql, (start, end, window.after_seq, window.as_of_seq))
        return (first, last) if first is not None else (window.as_of_seq + 1, window.as_of_seq)

    def _adapt(self, seconds: float) -> None:
        """Keeps reads short: a reader that leaves, and the log of the store, wait for the one that runs."""
        if seconds < SHORT:
            self._span = min(self._span * 2, LARGEST_SPAN)
        elif seconds > LONG:
            self._span = max(self._span // 2, 1024)

    def _with_words(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Those whose content meets the filter as well."""
        tenant = self._window.tenant
        seqs = [row[0] for row in rows]
        bodies = read_bodies(self._reader, tenant, seqs)
        likely = [seq for seq in seqs if self._may_match(bodies.get(seq))]
        records = self._reader.records(tenant, likely)
        ids = [record.id for record in records.values()]
        feedback = self._reader.feedback(tenant, ids, self._window.as_of_feedback_seq)
        for row in rows:
            record = records.get(row[0])
            if record is None:
                continue
            facts = Facts(
                record=record,
                labels=labels_of(record),
                feedback=feedback.get(record.id, ()),
                texts=_texts(bodies.get(row[0])),
            )
            if matches(self._asked, facts):
                yield row

    def _may_match(self, body: Body | None) -> bool:
        """Whether the words asked for outright are anywhere in the content: reading it properly takes far longer."""
        sought = [condition for condition in self._asked.texts if not condition.negate]
        if not sought:
            return True
        if body is None:
            return False
        plain = (body.request + body.response).decode(errors="replace")
        folded = fold(plain) if any(not each.case_sensitive for each in sought) else ""
        return all(
            holds(plain, each.contains) if each.case_sensitive else holds(folded, fold(each.contains))
            for each in sought
        )


def _texts(body: Body | None) -> Sequence[tuple[Role, str]]:
    """What was said; nothing if the content was not kept or cannot be read."""
    if body is None:
        return ()
    try:
        return read_texts(body)
    except Unreadable:
        return ()


def _size(row: Row) -> int:
    size: int = row[1]
    return size
