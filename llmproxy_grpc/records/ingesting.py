"""The thread that ingests: one of all workers is elected, and goes on until it is told to stop, whatever fails."""

import random
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from msgspec import Struct

from llmproxy_grpc.records.ballast import Ballast
from llmproxy_grpc.records.codec import RenderLine
from llmproxy_grpc.records.election import Office, elect, told_available
from llmproxy_grpc.records.ingester import Ingester
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.plan_files import sweep
from llmproxy_grpc.records.quarantine import Quarantine
from llmproxy_grpc.records.spool.segments import is_complete, segments
from llmproxy_grpc.records.store import OpenStore, RecordWriter, StoreFull, StoreUnavailable, StoreUnfit
from llmproxy_grpc.records.tally import Tally

log = structlog.get_logger(__name__)

ELECTION: Final = 1.0
"""Seconds between two tries to become the one that ingests."""
POLL: Final = 0.1
"""Seconds between two looks for new frames: a batch costs as much as dozens of rows, and takes them from the calls."""
LAST_WORK: Final = 2.0
"""Seconds that the end of a process may take to ingest what is still there."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
UNFIT_PAUSE: Final = 30.0
BURIALS: Final = 1.0
GRACE: Final = 10.0
"""Seconds that a worker has to show that it lives again: it looks once a second, but behind its syncs of the disk."""
RETENTION: Final = 60.0
"""Seconds between two rounds that delete what is too old."""
AT_ONCE: Final = 500
LAST_WAIT: Final = 5.0
"""Seconds that the end of a process waits for the store before it breaks off: the frames stay in the spool."""
STALE: Final = 30.0
"""Seconds that a complete segment may lie there before a worker that does not ingest calls the store unavailable."""
BREAK: Final = 0.5
"""Seconds between two tries to break it off: one that comes between two statements has no effect."""
MICROSECONDS: Final = 1_000_000


class Manners(Struct, frozen=True, kw_only=True):
    """How it ingests.

    Attributes:
        retention: Seconds that records are kept.
        render: Makes lines of OPENAI_CHAT.
        poll: Seconds between two looks for new frames.
        ballast: Bytes held back for a full disk.
        wall: The wall clock, in seconds.
        chance: Randomness from 0 to 1.
    """

    retention: float
    render: RenderLine | None = None
    poll: float = POLL
    ballast: int = 16 * 1024 * 1024
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random


class Ingesting:
    """Ingests in a thread of its own, if no other process does.

    Args:
        places: The folder of the records.
        open_store: Opens the store.
        tally: Counts.
        manners: How.
    """

    def __init__(self, places: Places, open_store: OpenStore, tally: Tally, manners: Manners) -> None:
        self._places = places
        self._open_store = open_store
        self._tally = tally
        self._manners = manners
        self._quarantine = Quarantine(places.quarantine)
        self._ballast = Ballast(places.ballast, manners.ballast)
        self._ingester: Ingester | None = None
        self._office: Office | None = None
        self._writer: RecordWriter | None = None
        self._told: set[str] = set()
        """Failures that are in the log, since the store took records last."""
        self._full = False
        self._pause = FIRST_PAUSE
        self._next_burial = self._next_retention = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="records-ingester", daemon=True)
        self.leading = False
        """Whether it is this process that ingests."""
        self.available = True
        """Whether the store takes records, as far as this process can tell."""

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def close(self) -> None:
        """Ends behind the batch that runs, unless that takes long; what is in the spool stays for the next start."""
        self._stop.set()
        self._thread.join(LAST_WAIT)
        if self._thread.is_alive():
            # The office is the other thread's, which may resign at any moment.
            log.error("store_unavailable", error="no answer in time; the spool keeps what is not stored")
            self.available = False
        while self._thread.is_alive():
            if (writer := self._writer) is not None:
                writer.interrupt()
            self._thread.join(BREAK)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                office = elect(self._places.ingester_lock)
            except StoreUnavailable as error:
                self._failed("store_unavailable", error)
                self._wait()
                continue
            if office is None:
                self._follow()
                self._stop.wait(ELECTION)
                continue
            self.leading, self._office = True, office
            try:
                self._lead(office)
            finally:
                self.leading, self._office = False, None
                office.resign()

    def _follow(self) -> None:
        """Takes the word of the one who ingests, unless that one is seen to do nothing."""
        self.available = told_available(self._places.ingester_lock) and not self._stale()
        self._told.clear()

    def _lead(self, office: Office) -> None:
        """Ingests until it is told to stop; every failure is followed by a pause and a new connection."""
        while office.stands and not self._stop.is_set():
            try:
                self._ingest(office)
            except StoreUnfit as error:
                self._failed("store_unfit", error)
                self._stop.wait(UNFIT_PAUSE)
            except StoreFull as error:
                self._failed("store_full", error)
                self._ballast.drop()
                self._full = True
                self._wait()
            except (StoreUnavailable, OSError) as error:
                self._failed("store_unavailable", error)
                self._wait()
            except Exception as error:  # noqa: BLE001 - whatever it is, the frames are safe, and the next try may succeed
                self._failed("ingester_bug", error)
                self._wait()

    def _ingest(self, office: Office) -> None:
        self._writer = writer = self._open_store().writer()
        try:
            ingester = Ingester(
                self._places.spool,
                writer,
                self._tally,
                quarantine=self._quarantine,
                render=self._manners.render,
                clock_us=lambda: int(self._manners.wall() * MICROSECONDS),
            )
            self._settle(ingester)
            while office.stands and not self._stop.is_set():
                if self._still_full(writer):
                    self._wait()
                    continue
                ingester.move()
                self._succeeded()
                self._beside(ingester, writer)
                if not ingester.more:
                    self._stop.wait(self._manners.poll)
            if office.stands:
                self._finish(ingester)
        finally:
            self._writer = None
            writer.close()

    def _settle(self, ingester: Ingester) -> None:
        before, self._ingester = self._ingester, ingester
        if before is not None and before.doubt is not None:
            ingester.settle(before.doubt)

    def _finish(self, ingester: Ingester) -> None:
        """Moves what the end of this process has left in the spool, if that does not take long; the rest stays."""
        ends_at = time.monotonic() + LAST_WORK
        while time.monotonic() < ends_at and ingester.move():
            pass

    def _still_full(self, writer: RecordWriter) -> bool:
        """With a full disk, tries to make room; records go on only once the ballast fits again."""
        if self._ballast.take(after_full=self._full):
            self._full = False
        elif self._full:
            self._expire(writer)
            writer.tidy()
        return self._full

    def _beside(self, ingester: Ingester, writer: RecordWriter) -> None:
        now = time.monotonic()
        if now >= self._next_burial:
            writer.check()
            ingester.bury(grace=GRACE)
            self._next_burial = now + BURIALS
        if now >= self._next_retention:
            self._next_retention = now + RETENTION  # also if it fails: records come first
            self._expire(writer)
            self._quarantine.expire(self._manners.retention)
            sweep(self._places.plans)

    def _expire(self, writer: RecordWriter) -> None:
        before = int((self._manners.wall() - self._manners.retention) * MICROSECONDS)
        expired = 0
        # Until there is none: what remains of a partition may be few, and the next ones have expired all the same.
        while not self._stop.is_set() and (count := writer.expire(before, AT_ONCE)):
            expired += count
        if expired:
            log.info("records_expired", count=expired)
            writer.tidy()
        while not self._stop.is_set() and writer.expire_feedback(before, AT_ONCE):
            pass

    def _stale(self) -> bool:
        """Whether another one ought to have ingested long ago what lies there."""
        oldest = self._manners.wall() - STALE
        try:
            return any(
                segment.path.stat().st_mtime < oldest and is_complete(segment.path)
                for segment in segments(self._places.spool)
            )
        except OSError:
            return False

    def _succeeded(self) -> None:
        if not self.available:
            log.info("store_available")
        self._tell(available=True)
        self._told.clear()
        self._pause = FIRST_PAUSE

    def _failed(self, event: str, error: Exception) -> None:
        """Each failure is told once, for what has to be done may change while the store is away."""
        told, known_at_the_end = _told(error), self._stop.is_set() and not self.available
        if told not in self._told and not known_at_the_end:
            log.error(event, error=told)
        self._told.add(told)
        self._tell(available=False)

    def _tell(self, *, available: bool) -> None:
        self.available = available
        if self._office is not None:
            self._office.tell(available=available)

    def _wait(self) -> None:
        """Waits, longer each time, and never as long as another host would."""
        self._stop.wait(self._pause * (0.5 + self._manners.chance() / 2))
        self._pause = min(LONGEST_PAUSE, self._pause * 2)


def _told(error: Exception) -> str:
    """Our own words; of files that cannot be used which and why; of foreign errors the kind alone."""
    if isinstance(error, StoreUnavailable | StoreUnfit):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part is not None)
    return type(error).__name__
