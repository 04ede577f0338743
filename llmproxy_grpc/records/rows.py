"""What both stores do outside of their databases: which rows of a batch are new, what is stored, what comes back."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final, TypeVar

import msgspec

from llmproxy_grpc.records.compression import RAW, Packer, Unpacker
from llmproxy_grpc.records.record import Body, Entry, Feedback, FeedbackKind, Record
from llmproxy_grpc.records.store import Row

COLUMNS: Final = Record.__struct_fields__
_VALUES: Final = attrgetter(*COLUMNS)
_SEQ: Final = COLUMNS.index("seq")
_INGESTED_AT: Final = COLUMNS.index("ingested_at")
_FEEDBACK: Final = Feedback.__struct_fields__
EVERY_TENANT: Final = ""
"""Of a tombstone that keeps an id out whoever's it is."""

_Kept = TypeVar("_Kept")


def new_entries(
    entries: Sequence[Entry], known: Container[bytes], erased: Mapping[bytes, str]
) -> tuple[list[Entry], int]:
    """Tells the records that are to be stored from those that are not.

    Args:
        entries: Those that have come.
        known: Ids of those that are there already.
        erased: The tenant of each id that has a tombstone, EVERY_TENANT for all.

    Returns:
        Those to store, each once, and how many had been erased.
    """
    return _new([(entry.record.id, (entry.record.id, entry.record.tenant), entry) for entry in entries], known, erased)


def new_feedback(
    judgements: Sequence[Feedback], known: Container[bytes], erased: Mapping[bytes, str]
) -> list[Feedback]:
    """Those of judgements to store; they are erased with their records."""
    return _new([(each.id, (each.record_id, each.tenant), each) for each in judgements], known, erased)[0]


def figures(entries: Sequence[Entry], first: int, now: int) -> Iterator[list[object]]:
    """A row of COLUMNS for each record, in the positions from `first` on."""
    for seq, entry in enumerate(entries, first):
        row = [*_VALUES(entry.record)]
        row[_SEQ], row[_INGESTED_AT] = seq, now
        yield row


def last_positions(tenants: Iterable[str], first: int) -> dict[str, int]:
    """The last position of each tenant, of rows from `first` on."""
    return {tenant: position for position, tenant in enumerate(tenants, first)}


def labels(entries: Sequence[Entry], first: int) -> list[Row]:
    """Tenant, key, value and position of each label."""
    return [
        (entry.record.tenant, key, value, seq)
        for seq, entry in enumerate(entries, first)
        if entry.record.labels
        for key, value in msgspec.json.decode(entry.record.labels, type=dict[str, str]).items()
    ]


def packed_bodies(entries: Sequence[Entry], first: int, packer: Packer) -> tuple[list[Row], list[Row]]:
    """Content as it is stored, and lines beside it.

    Returns:
        Rows of position, tenant, codec, request and response, the codec having two bits, the request's in the lower
        one; and rows of position, tenant, codec, fault and line.
    """
    bodies: list[Row] = []
    lines: list[Row] = []
    for seq, entry in enumerate(entries, first):
        body, tenant = entry.body, entry.record.tenant
        if body is None:
            continue
        lower, request = packer.pack(body.request)
        upper, response = packer.pack(body.response)
        bodies.append((seq, tenant, lower | upper << 1, request, response))
        if body.line is not None or body.line_fault:
            codec, line = (RAW, None) if body.line is None else packer.pack(body.line)
            lines.append((seq, tenant, codec, body.line_fault, line))
    return bodies, lines


def judgements(feedback: Sequence[Feedback], first: int) -> list[Row]:
    """A row for each judgement, in the order of Feedback's fields, in the positions from `first` on."""
    return [
        (
            fseq,
            each.id,
            each.tenant,
            each.record_id,
            each.name,
            int(each.kind),
            each.number,
            each.content,
            each.source,
            each.created_at,
        )
        for fseq, each in enumerate(feedback, first)
    ]


def checked_columns(names: Sequence[str]) -> str:
    """The columns of a record as SQL; raises ValueError for what is none."""
    unknown = set(names) - set(COLUMNS)
    if unknown:
        raise ValueError(f"no such columns: {sorted(unknown)}")
    return ", ".join(f"r.{name}" for name in names)


def bodies_of(rows: Iterable[Row], unpacker: Unpacker) -> dict[int, Body]:
    """Content by position, of rows of position, codec, request, response, and codec, line and fault of the line."""
    unpack = unpacker.unpack
    bodies = {}
    for seq, codec, request, response, line_codec, line, fault in rows:
        whole = None if line is None else unpack(line_codec, line)
        bodies[seq] = Body(unpack(codec & 1, request), unpack(codec >> 1, response), whole, fault or "")
    return bodies


def lines_of(rows: Iterable[Row], unpacker: Unpacker) -> dict[int, tuple[bytes | None, str]]:
    """Lines with their faults by position, of rows of position, codec, line and fault."""
    return {seq: (None if line is None else unpacker.unpack(codec, line), fault) for seq, codec, line, fault in rows}


def feedback_of(rows: Iterable[Sequence[object]]) -> dict[bytes, list[Feedback]]:
    """Judgements by record, of rows that begin with Feedback's fields."""
    found: dict[bytes, list[Feedback]] = {}
    for row in rows:
        values: Mapping[str, object] = dict(zip(_FEEDBACK, row, strict=False))
        judgement = Feedback(**{**values, "kind": FeedbackKind(values["kind"])})  # type: ignore[arg-type]  # as stored
        found.setdefault(judgement.record_id, []).append(judgement)
    return found


def _new(
    rows: Sequence[tuple[bytes, tuple[bytes, str], _Kept]], known: Container[bytes], erased: Mapping[bytes, str]
) -> tuple[list[_Kept], int]:
    """Rows of an id, the id and tenant that erasure goes by, and what is kept."""
    fresh: dict[bytes, _Kept] = {}
    void = 0
    for own, (record_id, tenant), kept in rows:
        if erased and erased.get(record_id) in (EVERY_TENANT, tenant):
            void += 1
        elif own not in known:
            fresh.setdefault(own, kept)
    return list(fresh.values()), void
