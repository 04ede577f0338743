"""Looks after a worker's spool once a second: makes it survive power cuts, measures its room, renews old segments."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

import structlog

from llmproxy_grpc.records.spool.room import Room, bound, room, spool_bytes
from llmproxy_grpc.records.spool.segment_file import SegmentFile
from llmproxy_grpc.records.spool.segments import renewal

log = structlog.get_logger(__name__)

EVERY: Final = 1.0
"""Seconds between two looks: what a power cut may take."""
OLDEST: Final = 60.0
"""Seconds after which a segment is renewed, so that what is stored leaves the spool."""
SPARE: Final = 16 * 1024 * 1024
TRIAL: Final = 4096
"""Bytes that are written to see whether a folder that failed takes files again."""
SPARE_SHARE: Final = 0.05
"""Free bytes with which a disk that was full counts as usable again, or that share of it if it is less."""


class Keeper:
    """Works in a thread of its own, for a sync may take long.

    Args:
        folder: The spool.
        wake: Wakes the writer, which alone may renew its segment.
        shows: Whether others can see that the worker lives.
    """

    def __init__(self, folder: Path, wake: Callable[[], None], shows: Callable[[], bool]) -> None:
        self._folder = folder
        self._wake = wake
        self._shows = shows
        self._complete: deque[SegmentFile] = deque()
        self._current: SegmentFile | None = None
        self._renewal = renewal(folder)
        self._due = False
        self._used = 0
        self._allowed: int | None = None
        self.failing = False
        """Whether the last write failed, and nothing shows that the next one will not."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="records-keeper", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def close(self) -> None:
        """Syncs and closes everything."""
        self._stop.set()
        self._thread.join()

    @property
    def room(self) -> Room:
        """What still fits into the spool."""
        return Room.ENOUGH if self._allowed is None else room(self._used, self._allowed)

    def grown(self, size: int, segment: SegmentFile) -> None:
        """The writer has appended so many bytes to a segment."""
        self._used += size
        self._current = segment
        self.failing = False

    def failed(self) -> None:
        """The writer could not append."""
        self.failing = True

    def complete(self, segment: SegmentFile) -> None:
        """The writer is done with a segment."""
        self._current = None
        self._complete.append(segment)

    def renewal_due(self) -> bool:
        """Whether the segment is too old, or gone, or somebody has asked for a new one, or no life shows; told once."""
        due, self._due = self._due, False
        return due

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            self._look()
        self._look()

    def _look(self) -> None:
        try:
            self._sync()
            self._measure()
        except OSError as error:
            log.warning("spool_look_failed", errno=error.errno)
        with suppress(OSError):  # of a disk that has just been told of
            if self._is_due():
                self._due = True
                self._wake()

    def _is_due(self) -> bool:
        segment, asked = self._current, renewal(self._folder)
        if segment is None:
            return not self._shows()
        if asked != self._renewal or segment.gone() or time.monotonic() - segment.born > OLDEST:
            self._renewal = asked
            return True
        return not self._shows()

    def _sync(self) -> None:
        segment = self._current
        if segment is not None:
            segment.sync()
        while self._complete:
            segment = self._complete.popleft()
            try:
                segment.sync()
            finally:
                segment.close()

    def _measure(self) -> None:
        if self.failing and self._takes_something():
            self.failing = False
            self._wake()
        if not self._folder.exists():
            return
        self._used = spool_bytes(self._folder)
        self._allowed = bound(self._folder)

    def _takes_something(self) -> bool:
        """Whether there is room to spare, and a file can be written: without calls nobody else would find out."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            disk = os.statvfs(self._folder)
            if disk.f_bavail * disk.f_frsize < min(SPARE, int(disk.f_blocks * disk.f_frsize * SPARE_SHARE)):
                return False
            with TemporaryFile(dir=self._folder, buffering=0) as file:
                file.write(bytes(TRIAL))
        except OSError:
            return False
        return True
