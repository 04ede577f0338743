"""Writes a worker's frames to its segments, in a thread of its own: all that wait, in one go."""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

import structlog
from msgspec import Struct

from llmproxy_grpc.records.places import FULL
from llmproxy_grpc.records.spool.begins import Begins
from llmproxy_grpc.records.spool.entries import Ended, Judged, Said, encode
from llmproxy_grpc.records.spool.frames import frame
from llmproxy_grpc.records.spool.keeper import Keeper
from llmproxy_grpc.records.spool.room import Room
from llmproxy_grpc.records.spool.segment_file import SegmentFile
from llmproxy_grpc.records.spool.segments import ALIVE, create_locked, worker_name
from llmproxy_grpc.records.tally import Loss, Tally

log = structlog.get_logger(__name__)

MOST_FRAMES: Final = 10_000
MOST_BYTES: Final = 64 * 1024 * 1024
"""Bounds of what waits in memory."""
SEGMENT_BYTES: Final = 8 * 1024 * 1024
AT_ONCE: Final = 1000


class Offer(Struct, frozen=True):
    """Something to write, who waits for it to be written, and the bytes of its content, if it has any."""

    said: Said
    waiter: Any = None
    size: int = 0


class SpoolWriter:
    """The spool of one worker. What fails is counted and never raised: calls go on.

    Args:
        folder: The spool; it need not be there yet.
        worker: Number of the worker.
        tally: Counts what is dropped.
        durable: Whether frames are to survive a power cut before those who wait are told.
        bare: Gives a frame without its content.
        tell: Told, in the writer's thread, who need not wait any longer, and whether what they wait for is written.
        segment_bytes: Size at which a new segment begins.
    """

    def __init__(
        self,
        folder: Path,
        worker: int,
        tally: Tally,
        *,
        durable: bool,
        bare: Callable[[Ended], Ended],
        tell: Callable[[Sequence[Any], bool], None],
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._folder = folder
        self._name = worker_name(worker)
        self._tally = tally
        self._durable = durable
        self._bare = bare
        self._tell = tell
        self._segment_bytes = segment_bytes
        self._queue: SimpleQueue[Sequence[Offer] | None] = SimpleQueue()
        self._offered_frames = self._offered_bytes = 0
        self._taken_frames = self._taken_bytes = 0
        self._begins = Begins()
        self._owed: list[Offer] = []
        """Ends whose records were dropped, to be written as soon as anything can be."""
        self._segment: SegmentFile | None = None
        self._number = 0
        self._alive: int | None = None
        self._keeper = Keeper(folder, lambda: self._queue.put(()), self._shows_life)
        self._thread = threading.Thread(target=self._run, name="records-spool", daemon=True)

    def start(self) -> None:
        """Begins to write."""
        self._keeper.start()
        self._thread.start()

    def put(self, offers: Sequence[Offer]) -> None:
        """Hands frames over, at once: those that no longer fit into memory lose their content, or are dropped.

        A comment or a demonstration is nothing but content, and whoever gives it is told.
        """
        if self._offered_frames - self._taken_frames >= MOST_FRAMES:
            # Not bounded here: of each call that runs there is one at most.
            offers = self._drop(offers, Loss.QUEUE_FULL)
        elif self._offered_bytes - self._taken_bytes >= MOST_BYTES:
            self._drop([offer for offer in offers if _is_wordy(offer)], Loss.QUEUE_FULL)
            offers = [self._stripped(offer) for offer in offers if not _is_wordy(offer)]
        self._begins.offered([offer.said for offer in offers])
        self._offered_frames += len(offers)
        self._offered_bytes += sum([offer.size for offer in offers])
        self._queue.put(offers)

    @property
    def sound(self) -> bool:
        """Whether what is put now will most likely be written whole."""
        return self._keeper.room is Room.ENOUGH and not self._keeper.failing

    def close(self) -> None:
        """Writes what waits, makes it survive a power cut, and lets go of the files."""
        self._queue.put(None)
        self._thread.join()
        self._keeper.close()
        if self._alive is not None:
            (self._folder / (self._name + ALIVE)).unlink(missing_ok=True)
        self._let_go()

    def _run(self) -> None:
        running = True
        while running:
            batch, running = self._take()
            try:
                self._write(batch)
            except Exception as error:  # noqa: BLE001 - a thread that dies would take the records of every later call along
                log.error("spool_bug", error=type(error).__name__)
                self._owed += self._drop(batch, Loss.SPOOL_FAILED)
            self._taken_frames += len(batch)
            self._taken_bytes += sum([offer.size for offer in batch])
        self._renew()

    def _take(self) -> tuple[list[Offer], bool]:
        """What waits, and whether there will be more."""
        batch: list[Offer] = []
        offers = self._queue.get()
        while offers is not None:
            batch.extend(offers)
            if len(batch) >= AT_ONCE:
                return batch, True
            try:
                offers = self._queue.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _write(self, batch: list[Offer]) -> None:
        if self._keeper.renewal_due():
            self._renew()
            with suppress(OSError):  # then the next frame tells
                self._show_life()
        room = self._keeper.room
        if room is Room.NONE:
            batch = self._drop(batch, Loss.SPOOL_FULL)
        elif room is Room.TIGHT:
            batch = [self._stripped(offer) for offer in batch]
        owed, self._owed = self._owed, []
        batch, frames = self._encoded([*owed, *batch])
        if not batch:
            return
        try:
            self._append(b"".join(frames))
        except OSError as error:
            self._keeper.failed()
            self._salvage(batch, error)
            return
        self._written(batch)

    def _encoded(self, batch: Sequence[Offer]) -> tuple[list[Offer], list[bytes]]:
        """The frames; what cannot be written down is a bug, and takes nobody else along."""
        offers: list[Offer] = []
        frames: list[bytes] = []
        for offer in batch:
            try:
                frames.append(frame(encode(offer.said)))
            except (TypeError, ValueError, OverflowError) as error:
                log.error("spool_bug", error=type(error).__name__)
                self._owed += self._drop([offer], Loss.SPOOL_FAILED)
            else:
                offers.append(offer)
        return offers, frames

    def _append(self, data: bytes) -> None:
        """Appends, and syncs if need be; begins a segment before and ends it behind if that is due."""
        segment = self._current()
        if not _takes(segment, data):
            self._renew()
            segment = self._current()
            segment.append(data)
        if self._durable:
            segment.sync()
        self._keeper.grown(len(data), segment)
        if segment.size >= self._segment_bytes:
            self._renew()

    def _current(self) -> SegmentFile:
        if self._segment is not None and not self._segment.sound:
            self._renew()
        if self._segment is None:
            self._segment = self._begin()
        return self._segment

    def _begin(self) -> SegmentFile:
        self._show_life()
        self._number += 1
        return SegmentFile(self._folder, self._name, self._number)

    def _show_life(self) -> None:
        alive = self._folder / (self._name + ALIVE)
        if self._alive is None or not alive.exists():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._let_go()
            self._alive = create_locked(alive)

    def _shows_life(self) -> bool:
        return self._alive is None or (self._folder / (self._name + ALIVE)).exists()

    def _let_go(self) -> None:
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None

    def _renew(self) -> None:
        """Ends the segment; its files are closed once they are safe."""
        if self._segment is not None:
            self._keeper.complete(self._segment)
            self._segment = None

    def _salvage(self, batch: Sequence[Offer], error: OSError) -> None:
        """After a failure: writes what still can be, one frame at a time and without content, and drops the rest."""
        loss = Loss.DISK_FULL if error.errno in FULL else Loss.SPOOL_FAILED
        log.warning("spool_write_failed", reason=loss.value, errno=error.errno, frames=len(batch))
        for index, offer in enumerate(map(self._stripped, batch)):
            try:
                self._append(frame(encode(offer.said)))
            except OSError:
                self._owed += self._drop(batch[index:], loss)
                return
            self._written([offer])

    def _stripped(self, offer: Offer) -> Offer:
        said = offer.said
        if not isinstance(said, Ended) or not said.request:
            return offer
        self._tally.strip()
        return Offer(self._bare(said), offer.waiter)

    def _written(self, offers: Sequence[Offer]) -> None:
        self._begins.written([offer.said for offer in offers])
        self._told(offers, written=True)

    def _drop(self, offers: Sequence[Offer], loss: Loss) -> list[Offer]:
        """Counts what is lost; gives what is to be written in its place."""
        self._tally.drop(loss, sum(isinstance(offer.said, Ended) for offer in offers))
        self._told(offers, written=False)
        return [Offer(said) for said in self._begins.dropped([offer.said for offer in offers])]

    def _told(self, offers: Sequence[Offer], *, written: bool) -> None:
        waiters = [offer.waiter for offer in offers if offer.waiter is not None]
        if waiters:
            self._tell(waiters, written)


def _is_wordy(offer: Offer) -> bool:
    """Whether it is a judgement in words."""
    return isinstance(offer.said, Judged) and offer.size > 0


def _takes(segment: SegmentFile, data: bytes) -> bool:
    """Appends to a segment; False if another file may take what this one does not, for its size or its place.

    Raises:
        OSError: No other file would take it either.
    """
    try:
        segment.append(data)
    except OSError as error:
        if error.errno in FULL or not segment.size:
            raise
        return False
    return not segment.gone()  # asked behind the write: what was there then is in a file that others find
