"""Decides, from figures alone, which records an export writes, in which order and in which part: a plan.

Everything happens in a scratch database of its own, which spills to disk, so that a million records take no more
memory than a thousand. Each step is deterministic: the same records and the same choice give the same plan.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, Final

import apsw
import msgspec

from llmproxy_grpc.export.chance import number, part_of
from llmproxy_grpc.export.examples import has_demonstration, label_of, score_of
from llmproxy_grpc.export.near import leave_out_near_duplicates
from llmproxy_grpc.export.picks import NO_TRAINING
from llmproxy_grpc.export.plans import PlanWriter
from llmproxy_grpc.export.scan import Scanner
from llmproxy_grpc.export.selecting import NO_LABEL, NO_PAIR, SCHEMA, select
from llmproxy_grpc.export.spec import Choice, Part, SplitGroup
from llmproxy_grpc.records.filters import Window
from llmproxy_grpc.records.record import Feedback, spell_id
from llmproxy_grpc.records.store import RecordReader, Row

COLUMNS: Final = (
    "seq",
    "content_bytes",
    "training_ok",
    "messages",
    "id",
    "conversation",
    "end_user",
    "labels",
    "dkey",
    "input_hash",
    "full_hash",
    "ancestors",
)
_BLOCK: Final = 2048
_HASH_BYTES: Final = 16
_HALF: Final = 2**63
_CACHE_KIB: Final = 4096
_OPCODES: Final = 100_000
"""Instructions of the scratch database between two looks whether the caller has left."""

_INSERT: Final = """
INSERT INTO candidate (seq, size, fault, part, chance, place, stratum, dkey, input_hash, full_hash, score)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FAULT: Final = 2
"""Where a candidate's fault stands."""
_LABELS: Final = msgspec.json.Decoder(dict[str, str])


def build(
    reader: RecordReader, choice: Choice, window: Window, writer: PlanWriter, *, check: Callable[[], None]
) -> None:
    """Makes a plan.

    Args:
        reader: The store.
        choice: Which records.
        window: Where to look.
        writer: Takes the plan.
        check: Called now and then; raises if the caller has left.
    """
    with closing(apsw.Connection("")) as scratch:
        scratch.execute(f"PRAGMA journal_mode = OFF; PRAGMA cache_size = -{_CACHE_KIB}; {SCHEMA}").fetchall()

        def go_on() -> bool:
            check()
            return False

        scratch.set_progress_handler(go_on, _OPCODES)
        matched = _gather(reader, choice, window, scratch, check)
        select(scratch, choice, partial(leave_out_near_duplicates, scratch, reader, window.tenant, check))
        for rows in _chosen(scratch):
            writer.add(rows)
        skipped = dict(scratch.execute("SELECT fault, count(*) FROM candidate WHERE fault <> '' GROUP BY fault"))
        writer.finish(choice, window, matched, skipped)


def _gather(
    reader: RecordReader, choice: Choice, window: Window, scratch: apsw.Connection, check: Callable[[], None]
) -> int:
    """Writes every matching record into the scratch database; returns how many there are."""
    scanner = Scanner(reader, choice.filter, window, COLUMNS)
    matched, reached = 0, window.after_seq
    scratch.execute("BEGIN")
    while reached < window.as_of_seq:
        check()
        block = scanner.block(reached, _BLOCK)
        reached = block.reached
        matched += len(block.rows)
        judged = _judgements(reader, choice, window, block.rows)
        candidates = [_candidate(choice, row, judged.get(row[4], ())) for row in block.rows]
        scratch.executemany(_INSERT, candidates)
        if choice.selection.leaves_only:
            # What may not be used itself stands for nothing.
            sound = [row for row, candidate in zip(block.rows, candidates, strict=True) if not candidate[_FAULT]]
            _note_ancestors(scratch, [row[11] for row in sound])
    scratch.execute("COMMIT")
    return matched


def _candidate(choice: Choice, row: Row, judged: Sequence[Feedback]) -> tuple[Any, ...]:
    seq, size, training_ok, messages, record_id, conversation, end_user, labels, *hashes, _ = row
    selection = choice.selection
    name = bytes(record_id)
    part = Part.ALL
    if selection.split is not None:
        groups = {SplitGroup.CONVERSATION: conversation, SplitGroup.END_USER: end_user}
        group = groups.get(selection.split.group) or spell_id(name)
        part = part_of(selection.split, selection.seed, group)
    stratum = ""
    if selection.sample is not None and selection.sample.stratify_by_label and labels:
        value = _LABELS.decode(labels).get(selection.sample.stratify_by_label)
        stratum = "" if value is None else f"={value}"
    return (
        seq,
        size if messages else 0,
        _unjudged(choice, judged) if training_ok or selection.include_no_training else NO_TRAINING,
        int(part),
        number(selection.seed, "sample", name) - _HALF if selection.sample is not None else 0,
        number(selection.seed, "order", name) - _HALF if selection.shuffled else seq,
        stratum,
        *hashes,
        score_of(judged, selection.pairs.feedback_name) if choice.pairs_of_records else None,
    )


def _unjudged(choice: Choice, judged: Sequence[Feedback]) -> str:
    """Why a record makes no pair, or has no label, if one is needed; else nothing."""
    if not (choice.needs_demonstration or choice.needs_label):
        return ""
    name = choice.selection.pairs.feedback_name
    if choice.needs_demonstration and has_demonstration(judged, name):
        return ""
    if choice.needs_label and label_of(judged, name) is not None:
        return ""
    return NO_LABEL if choice.needs_label else NO_PAIR


def _judgements(
    reader: RecordReader, choice: Choice, window: Window, rows: Sequence[Row]
) -> Mapping[bytes, Sequence[Feedback]]:
    """What was said of the records, by their ids, if that matters."""
    if not rows or not (choice.pairs_of_records or choice.needs_demonstration or choice.needs_label):
        return {}
    return reader.feedback(window.tenant, [row[4] for row in rows], window.as_of_feedback_seq)


def _note_ancestors(scratch: apsw.Connection, chains: Sequence[bytes]) -> None:
    """Notes what the records continue, the nearest first: whatever is there already has brought its own along."""
    for chain in chains:
        for end in range(len(chain), 0, -_HASH_BYTES):
            scratch.execute("INSERT OR IGNORE INTO ancestor VALUES (?)", (chain[end - _HASH_BYTES : end],))
            if not scratch.changes():
                break


def _chosen(scratch: apsw.Connection) -> Iterator[list[tuple[Any, ...]]]:
    """The records that are left, in their order, numbered."""
    sql = "SELECT seq, size, part, rejected FROM candidate WHERE fault = '' ORDER BY part, place, seq"
    found = iter(scratch.execute(sql))
    ordinal = 0
    while rows := list(islice(found, _BLOCK)):
        yield [(ordinal + index, *row) for index, row in enumerate(rows, 1)]
        ordinal += len(rows)
