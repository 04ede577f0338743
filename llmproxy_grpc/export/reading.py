"""Reads content from the store in portions that fit into memory; a damaged row costs itself alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from llmproxy_grpc.datasets.skipping import SkipReason
from llmproxy_grpc.messages import FinishReason
from llmproxy_grpc.records.record import Body, Record
from llmproxy_grpc.records.store import RecordReader

PORTION: Final = 4 * 1024 * 1024
"""Bytes of content that are held at once."""
MOST_ROWS: Final = 512

_V = TypeVar("_V")
_Row = TypeVar("_Row")

Line = tuple[bytes | None, str]
"""A line of OPENAI_CHAT with its end, or None and why there is none."""

DAMAGED: Final = SkipReason.DAMAGED.value

_LABELS: Final = msgspec.json.Decoder(dict[str, str])


def portions(rows: Sequence[_Row], size_of: Callable[[_Row], int]) -> Iterator[Sequence[_Row]]:
    """Cuts rows into runs of bounded size: at most so many rows, and bytes unless one row alone has more."""
    start, size = 0, 0
    for index, row in enumerate(rows):
        more = size_of(row)
        if index > start and (size + more > PORTION or index - start == MOST_ROWS):
            yield rows[start:index]
            start, size = index, 0
        size += more
    if start < len(rows):
        yield rows[start:]


def read_bodies(reader: RecordReader, tenant: str, seqs: Sequence[int]) -> dict[int, Body | None]:
    """Content by position; None of what cannot be read."""
    return _each_if_need_be(seqs, lambda some: reader.bodies(tenant, some), None)


def read_lines(reader: RecordReader, tenant: str, seqs: Sequence[int]) -> Mapping[int, Line]:
    """Lines by position; where one cannot be read, that is its fault."""
    return _each_if_need_be(seqs, lambda some: reader.lines(tenant, some), (None, DAMAGED))


def labels_of(record: Record) -> Mapping[str, str]:
    """A record's labels."""
    return _LABELS.decode(record.labels) if record.labels else {}


def finish_reasons_of(record: Record) -> list[FinishReason]:
    """Why a record's candidates ended, each reason once."""
    return [reason for reason in FinishReason if reason and record.finish_reasons >> reason & 1]


def _each_if_need_be(
    seqs: Sequence[int], read: Callable[[Sequence[int]], Mapping[int, _V]], damaged: _V
) -> dict[int, _V]:
    """Reads all at once, or, if one of them is damaged, each on its own."""
    try:
        return dict(read(seqs))
    except ValueError:
        found: dict[int, _V] = {}
        for seq in seqs:
            try:
                found.update(read([seq]))
            except ValueError:
                found[seq] = damaged
        return found
