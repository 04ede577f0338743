"""Makes of chosen records what is written of them, portion by portion."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from llmproxy_grpc.datasets.formats import ready_line, render
from llmproxy_grpc.datasets.redaction import Redacted
from llmproxy_grpc.datasets.skipping import Skipped, SkipReason
from llmproxy_grpc.export.examples import Source, example_of
from llmproxy_grpc.export.output import TypedRecord
from llmproxy_grpc.export.picks import Pick
from llmproxy_grpc.export.reading import DAMAGED, read_bodies, read_lines
from llmproxy_grpc.export.spec import Output, Pairs
from llmproxy_grpc.records.compression import WORTHWHILE
from llmproxy_grpc.records.decoding import Unreadable, check_content
from llmproxy_grpc.records.record import Body, Record
from llmproxy_grpc.records.store import RecordReader

ERASED: Final = "erased"
"""The record, or its content, was deleted after it had been chosen."""
_AS_ASKED: Final = frozenset(
    {ERASED, SkipReason.REDACTED, SkipReason.TOO_MANY_TOKENS, SkipReason.NO_PAIR, SkipReason.NO_LABEL}
)
"""Somebody wanted the record left out, or there is nothing in it to be written; its content is not at fault."""

_Out_co = TypeVar("_Out_co", covariant=True)


class Line(Struct, frozen=True, gc=False):
    """A line with its end, and how many values were hidden in it, by class."""

    data: bytes
    redacted: Mapping[str, int] = {}


class Left(Struct, frozen=True):
    """A record that is left out; `selected` unless it never was to be written."""

    reason: str
    selected: bool = True

    @property
    def invalid(self) -> bool:
        """Whether it does not fit the format."""
        return self.selected and self.reason not in _AS_ASKED


class Renderer(Protocol[_Out_co]):
    """Makes something of each record, or says why it does not."""

    def render(self, picks: Sequence[Pick]) -> Sequence[_Out_co | Left]:
        """One result for each, in their order."""
        ...


class StoredLines:
    """The lines that were made when the records were stored.

    They were valid then, and a compressed one that has changed since is found out when it is unpacked. Short ones are
    not compressed, and cheap to look at.

    Args:
        reader: The store.
        tenant: Whose records.
        others: Makes the lines that are missing.
        check_all: Whether long lines are looked at as well.
    """

    def __init__(self, reader: RecordReader, tenant: str, others: Renderer[Line], *, check_all: bool) -> None:
        self._reader = reader
        self._tenant = tenant
        self._others = others
        self._trusted = sys.maxsize if check_all else WORTHWHILE

    def render(self, picks: Sequence[Pick]) -> Sequence[Line | Left]:
        """One result for each, in their order."""
        lines = read_lines(self._reader, self._tenant, [pick.seq for pick in picks])
        results: list[Line | Left] = []
        unmade = []
        trusted = self._trusted
        for pick in picks:
            line, fault = lines.get(pick.seq, _UNMADE)
            if line is not None and len(line) >= trusted:
                results.append(Line(line))
            elif line is not None:
                wrong = ready_line.check(line)
                results.append(Line(line) if wrong is None else Left(wrong.reason))
            else:
                if not fault:
                    unmade.append((len(results), pick))
                results.append(Left(fault))
        if unmade:
            made = self._others.render([pick for _, pick in unmade])
            for (place, _), result in zip(unmade, made, strict=True):
                results[place] = result
        return results


_UNMADE: Final = (None, "")


class WholeRecords:
    """Records as they are."""

    def __init__(self, reader: RecordReader, tenant: str, as_of_feedback_seq: int) -> None:
        self._reader = reader
        self._tenant = tenant
        self._as_of = as_of_feedback_seq

    def render(self, picks: Sequence[Pick]) -> Sequence[TypedRecord | Left]:
        """One result for each, in their order."""
        seqs = [pick.seq for pick in picks]
        records = self._reader.records(self._tenant, seqs)
        bodies: Mapping[int, Body | None] = read_bodies(self._reader, self._tenant, seqs)
        ids = [record.id for record in records.values()]
        feedback = self._reader.feedback(self._tenant, ids, self._as_of)
        results: list[TypedRecord | Left] = []
        for seq in seqs:
            record = records.get(seq)
            if record is None or (record.messages and seq not in bodies):
                results.append(Left(ERASED))
            elif not _readable(record, bodies.get(seq)):
                results.append(Left(DAMAGED))
            else:
                results.append(TypedRecord(record, bodies.get(seq), feedback.get(record.id, ())))
        return results


def _readable(record: Record, body: Body | None) -> bool:
    if body is None:
        return not record.messages
    try:
        check_content(body)
    except Unreadable:
        return False
    return True


class Lines:
    """Lines that a format makes of records.

    Args:
        reader: The store.
        tenant: Whose records.
        output: Format and options.
        pairs: How preferences and labels are made.
        as_of_feedback_seq: Up to where judgements count.
    """

    def __init__(
        self, reader: RecordReader, tenant: str, output: Output, *, pairs: Pairs, as_of_feedback_seq: int
    ) -> None:
        self._reader = reader
        self._tenant = tenant
        self._output = output
        self._pairs = pairs
        self._as_of = as_of_feedback_seq

    def render(self, picks: Sequence[Pick]) -> Sequence[Line | Left]:
        """One result for each, in their order."""
        seqs = [pick.seq for pick in picks]
        records = self._reader.records(self._tenant, seqs)
        others = [pick.rejected for pick in picks if pick.rejected is not None]
        bodies = read_bodies(self._reader, self._tenant, [*seqs, *others])
        ids = [record.id for record in records.values()]
        feedback = self._reader.feedback(self._tenant, ids, self._as_of)
        results: list[Line | Left] = []
        for pick in picks:
            record = records.get(pick.seq)
            if record is None or (record.messages and pick.seq not in bodies):
                results.append(Left(ERASED))
                continue
            source = Source(record, bodies.get(pick.seq), feedback.get(record.id, ()))
            damaged = record.messages and source.body is None
            rejected = None if pick.rejected is None else bodies.get(pick.rejected)
            results.append(Left(DAMAGED) if damaged else self._line(source, rejected))
        return results

    def _line(self, source: Source, rejected: Body | None) -> Line | Left:
        assert self._output.format is not None  # noqa: S101 - records themselves are no lines
        try:
            example = example_of(source, self._pairs, rejected)
        except Unreadable:
            return Left(DAMAGED)
        made = render(self._output.format, example, self._output.options)
        return Left(made.reason) if isinstance(made, Skipped) else Line(made)


class RedactedLines:
    """Lines in which personal data and secrets are hidden; one that cannot be looked through is left out.

    Args:
        within: Makes the lines.
        redact: Hides values in one.
    """

    def __init__(self, within: Renderer[Line], redact: Callable[[bytes], Redacted | Skipped]) -> None:
        self._within = within
        self._redact = redact

    def render(self, picks: Sequence[Pick]) -> Sequence[Line | Left]:
        """One result for each, in their order."""
        return [made if isinstance(made, Left) else self._redacted(made.data) for made in self._within.render(picks)]

    def _redacted(self, line: bytes) -> Line | Left:
        hidden = self._redact(line)
        return Left(hidden.reason) if isinstance(hidden, Skipped) else Line(hidden.line, hidden.counts)
