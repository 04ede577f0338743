"""One export that is open, from its header to its summary; it blocks, and is used by one thread at a time."""

from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from msgspec.structs import replace

from llmproxy_grpc.datasets.formats import HEADERS
from llmproxy_grpc.datasets.options import Format
from llmproxy_grpc.datasets.redaction import Redactor
from llmproxy_grpc.errors import InvalidRequest
from llmproxy_grpc.export.assembly import Assembler, Hash, Recall
from llmproxy_grpc.export.gathering import Gatherer
from llmproxy_grpc.export.job import Header, Job, Summary
from llmproxy_grpc.export.output import Piece
from llmproxy_grpc.export.picks import Pick, Picks, StorePicks
from llmproxy_grpc.export.plans import Frozen, Plan, PlanPicks
from llmproxy_grpc.export.production import Invalid, Production
from llmproxy_grpc.export.progress import FileState, Progress
from llmproxy_grpc.export.reading import portions
from llmproxy_grpc.export.rendering import Left, Line, Lines, RedactedLines, Renderer, StoredLines, WholeRecords
from llmproxy_grpc.export.spec import Part
from llmproxy_grpc.export.tally import Tally
from llmproxy_grpc.export.tokens import Position
from llmproxy_grpc.records.record import spell_id
from llmproxy_grpc.records.store import RecordReader

OTHER_PART: Final = "other_part"
"""Of a part of the split that was not asked for."""


class Export:
    """Makes the messages of one export.

    Args:
        job: What is asked for.
        reader: The store.
        plan: The frozen selection; closed with the export.
        plan_id: Its name.
        resumed: Where an export before stopped.
        expires_at: Until when it can be resumed.
        redaction_key: Makes the tokens that stand in for hidden values.
        check: Called now and then; raises if the caller has left.
    """

    def __init__(
        self,
        job: Job,
        reader: RecordReader,
        plan: Plan,
        *,
        plan_id: str,
        resumed: Position | None,
        expires_at: int,
        redaction_key: bytes,
        check: Callable[[], None],
    ) -> None:
        self._redaction_key = redaction_key
        self._job = job
        self._reader = reader
        self._plan = plan
        self._check = check
        frozen = plan.frozen
        progress = _beginning(frozen, job.output.part) if resumed is None else resumed.progress
        self._position = Position(
            expires_at=expires_at,
            as_of_seq=frozen.window.as_of_seq,
            as_of_feedback_seq=frozen.window.as_of_feedback_seq,
            plan_id=plan_id,
            plan_digest=frozen.digest,
            progress=progress,
        )
        self._tally = Tally(progress, counts_matches=not frozen.listed)
        self._production: Production[Any] | None = None

    @property
    def header(self) -> Header:
        """What will come."""
        frozen = self._plan.frozen
        header = Header(self._position.plan_id, frozen.window, self._position.expires_at)
        if not frozen.listed:
            return header
        return replace(header, matched=frozen.matched, selected=frozen.selected, size=frozen.size)

    @property
    def position(self) -> Position:
        """Where it began."""
        return self._position

    def at(self, progress: Progress) -> Position:
        """Where it is after a message."""
        return replace(self._position, progress=progress)

    def step(self) -> tuple[list[Piece], bool]:
        """Makes some messages, and says whether they are the last.

        Raises:
            InvalidRequest: A record does not fit the format, and that was to be the end.
        """
        self._check()
        if self._job.plan_only:
            return [], True
        if self._production is None:
            self._production = self._begin()
        try:
            return self._production.step()
        except Invalid as invalid:
            raise self._told(invalid) from None

    def intact(self, piece: Piece) -> bool:
        """Whether all records of a message are still there."""
        return len(self._reader.records(self._job.tenant, piece.seqs)) == len(set(piece.seqs))

    def rewind(self, progress: Progress) -> None:
        """Goes back to behind a message: what was made after it is made anew, without what has been erased since."""
        self._position = self.at(progress)
        self._tally = Tally(progress, counts_matches=not self._plan.frozen.listed)
        self._production = None

    def summary(self) -> tuple[Summary, Position]:
        """What came, once the last step is done."""
        tally = self._tally
        summary = Summary(tally.matched, tally.written, tally.files, tally.skipped, tally.redacted)
        return summary, self.at(tally.progress(FileState()))

    def close(self) -> None:
        """Closes the plan."""
        self._plan.close()

    def _begin(self) -> Production[Any]:
        output, progress = self._job.output, self._position.progress
        renderer: Renderer[Any]
        writer: Assembler | Gatherer
        if output.format is None:
            window = self._plan.frozen.window
            renderer = WholeRecords(self._reader, window.tenant, window.as_of_feedback_seq)
            writer = Gatherer(self._tally, chunk_bytes=self._job.chunk_bytes)
        else:
            renderer = self._lines()
            writer = Assembler(
                self._tally,
                chunk_bytes=self._job.chunk_bytes,
                compression=output.compression,
                file=progress.file,
                sent=self._recall(renderer),
                head=self._head(),
            )
        return Production(
            self._picks(),
            renderer,
            writer,
            tally=self._tally,
            limit=0 if self._plan.frozen.listed else self._plan.frozen.choice.selection.limit,
            fail_on_invalid=output.fail_on_invalid,
        )

    def _picks(self) -> Picks:
        frozen, output = self._plan.frozen, self._job.output
        if frozen.listed:
            return PlanPicks(self._plan, output.part, output.format)
        return StorePicks(self._reader, frozen.choice, frozen.window, output.format)

    def _lines(self) -> Renderer[Line]:
        frozen, output = self._plan.frozen, self._job.output
        window = frozen.window
        lines = Lines(
            self._reader,
            window.tenant,
            output,
            pairs=frozen.choice.selection.pairs,
            as_of_feedback_seq=window.as_of_feedback_seq,
        )
        made: Renderer[Line] = lines
        if output.takes_stored_lines:
            made = StoredLines(self._reader, window.tenant, lines, check_all=output.fail_on_invalid)
        if output.redaction is None:
            return made
        redactor = Redactor(output.redaction.mode, output.redaction.classes, key=self._redaction_key)
        return RedactedLines(made, redactor.redact_csv if output.format == Format.CSV else redactor.redact)

    def _head(self) -> bytes:
        form = self._job.output.format
        return b"" if form is None else HEADERS.get(form, b"")

    def _recall(self, renderer: Renderer[Line]) -> Hash | None:
        """Reads again what was sent of the file that a resume falls into: a hash cannot be kept in a token."""
        progress = self._position.progress
        sent = progress.file
        if not sent.size:
            return sha256()
        recall, picks, after, over = Recall(sent, self._head()), self._picks(), sent.start, False
        while after < progress.cursor and not over:
            block, after, over = picks.block(after)
            again = [pick for pick in block if pick.cursor <= progress.cursor and not pick.fault]
            for portion in portions(again, _size):
                self._check()
                for made in renderer.render(portion):
                    if not isinstance(made, Left):
                        recall.add(made)
        return recall.hash

    def _told(self, invalid: Invalid) -> InvalidRequest:
        """The error that names the record."""
        record = self._reader.records(self._job.tenant, [invalid.seq]).get(invalid.seq)
        record_id = spell_id(record.id) if record is not None else ""
        return InvalidRequest(
            f"Record {record_id} does not fit the format: {invalid.reason}.",
            metadata={"recordId": record_id, "skipReason": invalid.reason},
        )


def _beginning(frozen: Frozen, part: Part) -> Progress:
    """Before the first record; a plan knows beforehand what will be left out."""
    if not frozen.listed:
        start = frozen.window.after_seq
        return Progress(cursor=start, file=FileState(start=start))
    skipped = Counter(frozen.skipped)
    if part != Part.ALL:
        others = frozen.selected - frozen.parts.get(int(part), 0)
        skipped[OTHER_PART] += others
    return Progress(matched=frozen.matched, skipped={reason: n for reason, n in skipped.items() if n})


def _size(pick: Pick) -> int:
    return pick.size
