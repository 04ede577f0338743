"""Leaves out records that nearly repeat an older one."""

from array import array
from collections.abc import Callable, Iterator
from typing import Any, Final

import apsw

from llmproxy_grpc.export.reading import portions, read_bodies
from llmproxy_grpc.export.selecting import NEAR_DUPLICATE
from llmproxy_grpc.export.similarity import jaccard
from llmproxy_grpc.export.similarity_process import Sketch, Sketching
from llmproxy_grpc.export.spec import NEAR_THRESHOLD
from llmproxy_grpc.records.store import RecordReader, Row

MOST_COMPARED: Final = 256
"""Older records that one is compared with: where a long prompt is the same in all, every one shares keys with every."""
_BLOCK: Final = 8192
_SCHEMA: Final = """
CREATE TABLE shared (key INTEGER, seq INTEGER, PRIMARY KEY (key, seq)) WITHOUT ROWID, STRICT;
CREATE TABLE sketch (seq INTEGER PRIMARY KEY, hashes BLOB NOT NULL) STRICT;
"""


def leave_out_near_duplicates(
    scratch: apsw.Connection, reader: RecordReader, tenant: str, check: Callable[[], None]
) -> None:
    """Compares each candidate with the older ones that are kept.

    Args:
        scratch: The candidates.
        reader: Their content.
        tenant: Whose they are.
        check: Called now and then; raises if the caller has left.
    """
    scratch.execute(_SCHEMA).fetchall()
    with Sketching(check) as process:
        for rows in _candidates(scratch):
            for portion in portions(rows, _size):
                seqs: list[int] = [seq for seq, _ in portion]
                bodies = read_bodies(reader, tenant, seqs)
                for seq, sketch in zip(seqs, process.sketches([bodies.get(seq) for seq in seqs]), strict=True):
                    check()
                    if not _kept(scratch, seq, sketch):
                        scratch.execute("UPDATE candidate SET fault = ? WHERE seq = ?", (NEAR_DUPLICATE, seq))


def _candidates(scratch: apsw.Connection) -> Iterator[list[Row]]:
    """Those that are left, the oldest first; looked up again and again, as those before are changed meanwhile."""
    sql = "SELECT seq, size FROM candidate WHERE fault = '' AND seq > ? ORDER BY seq LIMIT ?"
    last: Any = 0
    while rows := scratch.execute(sql, (last, _BLOCK)).fetchall():
        yield rows
        last = rows[-1][0]


def _kept(scratch: apsw.Connection, seq: int, sketch: Sketch) -> bool:
    """Whether no older record is nearly the same; if so it is one of those that younger ones are compared with."""
    if not sketch.keys:
        return True
    marks = ", ".join("?" * len(sketch.keys))
    sql = (
        "SELECT hashes FROM sketch WHERE seq IN "  # noqa: S608 - question marks
        f"(SELECT DISTINCT seq FROM shared WHERE key IN ({marks}) ORDER BY seq LIMIT {MOST_COMPARED})"
    )
    mine = array("I", sketch.hashes)
    older = scratch.execute(sql, sketch.keys)
    if any(jaccard(mine, array("I", hashes)) >= NEAR_THRESHOLD for (hashes,) in older):
        return False
    scratch.execute("INSERT INTO sketch VALUES (?, ?)", (seq, sketch.hashes))
    scratch.executemany("INSERT OR IGNORE INTO shared VALUES (?, ?)", [(key, seq) for key in sketch.keys])
    return True


def _size(row: Row) -> int:
    size: int = row[1]
    return size
