"""Moves frames from the spool into the store: each once, whatever breaks, and nothing before it is committed."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct, field
from msgspec.structs import replace

from llmproxy_grpc.records.codec import RenderLine, entry_of, feedback_of, interrupted, open_call_of
from llmproxy_grpc.records.links import linked
from llmproxy_grpc.records.quarantine import Quarantine
from llmproxy_grpc.records.record import Entry, Feedback, OpenCall, parse_id
from llmproxy_grpc.records.spool.entries import Began, Dropped, Ended, Judged, decode
from llmproxy_grpc.records.spool.reading import Portion, read_portion
from llmproxy_grpc.records.spool.segments import Segment, segments, workers
from llmproxy_grpc.records.store import Batch, RecordWriter, StoreRefused, Written
from llmproxy_grpc.records.tally import Loss, Tally

log = structlog.get_logger(__name__)

MOST_ROWS: Final = 1000
MOST_BYTES: Final = 16 * 1024 * 1024
"""Of frames that one batch has read, from which on it reads no further: pictures are large, and a backlog is long."""


class _Haul(Struct):
    """What one pass has read: rows with the payloads that they were made of, and how far the segments are read."""

    entries: list[tuple[Entry, bytes]] = field(default_factory=list)
    feedback: list[tuple[Feedback, bytes]] = field(default_factory=list)
    opened: dict[bytes, OpenCall] = field(default_factory=dict)
    closed: list[bytes] = field(default_factory=list)
    progress: dict[str, int] = field(default_factory=dict)
    finished: list[Segment] = field(default_factory=list)
    lost: list[Loss] = field(default_factory=list)
    """Why frames are set aside: counted once they will not come again."""
    more: bool = False
    """Whether there was more to read."""
    size: int = 0
    """Bytes of the frames."""

    @property
    def rows(self) -> int:
        return len(self.entries) + len(self.feedback)

    @property
    def full(self) -> bool:
        return self.rows >= MOST_ROWS or self.size >= MOST_BYTES


class Doubt(Struct, frozen=True):
    """A batch that may be in the store although its commit failed, as the answer alone may have been lost."""

    progress: Mapping[str, int]
    records: int
    lost: Sequence[Loss]


class Ingester:
    """The one that writes to the store; made anew for each connection.

    Args:
        spool: The folder of the segments.
        writer: The store.
        tally: Counts what is stored and what is not.
        quarantine: Takes what cannot be stored.
        render: Makes lines of OPENAI_CHAT.
        clock_us: The wall clock, in microseconds.
    """

    def __init__(
        self,
        spool: Path,
        writer: RecordWriter,
        tally: Tally,
        *,
        quarantine: Quarantine,
        render: RenderLine | None,
        clock_us: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._writer = writer
        self._tally = tally
        self._quarantine = quarantine
        self._render = render
        self._clock_us = clock_us
        self._progress = writer.progress()
        self._open = {call.id: call for call in writer.open_calls()}
        self._forget = set(self._progress) - {segment.name for segment in segments(spool)}
        self._unseen: dict[str, float] = {}
        """Workers with open calls whose lives do not show, and since when; of those known to be dead, since ever."""
        self.more = False
        """Whether the last batch was as large as one gets, so that more waits already."""
        self.doubt: Doubt | None = None
        """The batch that failed, if one did."""

    def settle(self, doubt: Doubt) -> None:
        """Counts a batch that failed before, if the store has it: then it does not come again."""
        if all(self._progress.get(name) == end for name, end in doubt.progress.items()):
            self._tally.store(doubt.records)
            self._drop(doubt.lost)

    def move(self) -> int:
        """Moves a batch; returns how many rows it had, 0 if there was nothing to move.

        Raises:
            StoreUnavailable: Nothing was moved; the same frames come again.
            OSError: A segment cannot be read.
        """
        haul = self._read()
        self.more = haul.more
        if haul.progress or self._forget:
            self._commit(haul)
        for segment in haul.finished:
            segment.path.unlink(missing_ok=True)
            self._progress.pop(segment.name, None)
            self._forget.add(segment.name)
        return haul.rows

    def bury(self, *, grace: float = 0.0) -> int:
        """Stores calls whose workers died under them as interrupted; returns how many there were.

        Args:
            grace: Seconds that a worker has to show its life again if its file is gone: somebody may have deleted it.
        """
        if not self._open:
            return 0
        shown = workers(self._spool)
        # Looked at behind the above: whoever is dead by then writes nothing more.
        unread = {segment.worker for segment in segments(self._spool)}
        named = {call.worker for call in self._open.values()}
        self._unseen = {worker: since for worker, since in self._unseen.items() if worker in named}
        gone = {worker for worker in named if self._unseen_for(worker, shown.get(worker)) >= grace} - unread
        dead = [call for call in self._open.values() if call.worker in gone]
        for start in range(0, len(dead), MOST_ROWS):
            some = dead[start : start + MOST_ROWS]
            now = self._clock_us()
            written = self._writer.write(
                Batch(entries=[interrupted(call, now) for call in some], closed=[call.id for call in some])
            )
            self._tally.accept(written.records)
            self._tally.store(written.records)
            for call in some:
                del self._open[call.id]
        return len(dead)

    def _unseen_for(self, worker: str, lives: bool | None) -> float:  # noqa: FBT001 - as `workers` tells it
        """Seconds for which a worker's life has not shown; less than none while it does."""
        if lives:
            self._unseen.pop(worker, None)
            return -1.0
        now = time.monotonic()
        return now - self._unseen.setdefault(worker, now if lives is None else -math.inf)

    def _read(self) -> _Haul:
        """Reads segments, but none behind one that is left half read: ends must not overtake begins."""
        haul = _Haul()
        held_up = None
        for segment in segments(self._spool):
            if haul.full:
                haul.more = True
                break
            if segment.worker == held_up:
                continue
            position = self._progress.get(segment.name, 0)
            try:
                portion = read_portion(segment, position)
            except FileNotFoundError:
                continue
            self._take(segment, position, portion, haul)
            if not portion.exhausted:
                held_up = segment.worker
                haul.more = haul.more or portion.end > position  # else the last frame is only half written
        return haul

    def _take(self, segment: Segment, position: int, portion: Portion, haul: _Haul) -> None:
        for number, payload in enumerate(portion.payloads):
            try:
                self._understand(payload, segment.worker, haul)
            except ValueError:
                self._quarantine.put(f"{segment.name}-{position}-{number}", payload)
                haul.lost.append(Loss.REFUSED)
        for number, piece in enumerate(portion.damaged):
            self._quarantine.put(f"{segment.name}-{position}-damaged-{number}", piece)
            haul.lost.append(Loss.DAMAGED)
        if portion.end > position:
            haul.progress[segment.name] = portion.end
            haul.size += portion.end - position
        if portion.finished:
            haul.finished.append(segment)

    def _understand(self, payload: bytes, worker: str, haul: _Haul) -> None:
        said = decode(payload)
        if isinstance(said, Ended | Dropped):
            self._close(parse_id(said.id), haul)
        if isinstance(said, Ended):
            haul.entries.append((entry_of(said, self._render), payload))
        elif isinstance(said, Began):
            call = open_call_of(said, worker)
            haul.opened[call.id] = call
        elif isinstance(said, Judged):
            haul.feedback.append((feedback_of(said), payload))

    def _close(self, call_id: bytes, haul: _Haul) -> None:
        if haul.opened.pop(call_id, None) is None and call_id in self._open:
            haul.closed.append(call_id)

    def _commit(self, haul: _Haul) -> None:
        entries = linked([entry for entry, _ in haul.entries], self._writer.parents)
        rows = [(entry, payload) for entry, (_, payload) in zip(entries, haul.entries, strict=True)]
        rest = Batch(
            opened=list(haul.opened.values()), closed=haul.closed, progress=haul.progress, forget=sorted(self._forget)
        )
        self.doubt = Doubt(haul.progress, len(haul.entries), haul.lost)
        whole = replace(rest, entries=entries, feedback=[judged for judged, _ in haul.feedback])
        try:
            self._count(self._writer.write(whole))
        except StoreRefused:
            self.doubt = None
            self._commit_apart([*rows, *haul.feedback], haul.lost)
            self.doubt = Doubt(haul.progress, 0, haul.lost)
            self._writer.write(rest)
        self.doubt = None
        self._drop(haul.lost)
        self._progress.update(haul.progress)
        self._forget.clear()
        self._open.update(haul.opened)
        for each in haul.closed:
            self._open.pop(each, None)

    def _commit_apart(self, rows: Sequence[tuple[Entry | Feedback, bytes]], lost: list[Loss]) -> None:
        """Stores what can be, halving what is refused until the rows that cannot are found.

        Those come again, as do erased ones, if this is cut short: they are `lost` once the whole is done.
        """
        entries = [row for row, _ in rows if isinstance(row, Entry)]
        feedback = [row for row, _ in rows if isinstance(row, Feedback)]
        try:
            written = self._writer.write(Batch(entries=entries, feedback=feedback))
        except StoreRefused as error:
            if len(rows) > 1:
                middle = len(rows) // 2
                self._commit_apart(rows[:middle], lost)
                self._commit_apart(rows[middle:], lost)
                return
            row, payload = rows[0]
            name = row.record.id.hex() if isinstance(row, Entry) else row.id.hex()
            log.error("record_refused", id=name, error=str(error))
            self._quarantine.put(name, payload)
            if isinstance(row, Entry):
                lost.append(Loss.REFUSED)
        else:
            self._tally.store(written.records)
            lost += [Loss.ERASED] * written.erased

    def _drop(self, lost: Sequence[Loss]) -> None:
        for loss in lost:
            self._tally.drop(loss)

    def _count(self, written: Written) -> None:
        self._tally.store(written.records)
        self._tally.drop(Loss.ERASED, written.erased)
