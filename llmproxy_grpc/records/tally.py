"""Counts what becomes of records, so that nobody has to take our word: accepted = stored + spooled + dropped."""

import threading
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Final

ACCEPTED: Final = "accepted"
STORED: Final = "stored"
DROPPED: Final = "dropped"
BARE: Final = "bare"
"""Of the accepted: the content was left out for want of room."""
UNCONFIRMED: Final = "unconfirmed"
"""Of the accepted: the answer did not wait any longer for its record to be written."""


class Loss(Enum):
    """Why a record was dropped."""

    QUEUE_FULL = "queue_full"
    SPOOL_FULL = "spool_full"
    DISK_FULL = "disk_full"
    SPOOL_FAILED = "spool_failed"
    DAMAGED = "damaged"
    """A piece of the spool is no frame; it may have been several, so that the figure is a lower bound."""
    REFUSED = "refused"
    """The store will never take it; it lies in quarantine."""
    ERASED = "erased"


Tell = Callable[[str, str, int], None]
"""Takes a state, the reason of a loss, and how many records."""


def _nobody(_state: str, _reason: str, _count: int) -> None:
    """Tells nobody."""


class Tally:
    """Counts from several threads.

    Attributes:
        dropped: Records dropped, by reason.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.accepted = 0
        self.stored = 0
        self.dropped: Counter[Loss] = Counter()
        self.bare = 0
        self.unconfirmed = 0
        self._tell: Tell = _nobody

    def watch(self, tell: Tell) -> None:
        """Has `tell(state, reason, count)` called for whatever is counted; it must return at once and not raise.

        It is called by several threads, but by one at a time.
        """
        with self._lock:
            self._tell = tell

    def states(self) -> dict[str, int]:
        """How many records of each state there are."""
        with self._lock:
            return {
                ACCEPTED: self.accepted,
                STORED: self.stored,
                DROPPED: self.dropped.total(),
                BARE: self.bare,
                UNCONFIRMED: self.unconfirmed,
            }

    def accept(self, count: int = 1) -> None:
        """A call has ended that is to be kept."""
        with self._lock:
            self.accepted += count
            self._tell(ACCEPTED, "", count)

    def store(self, records: int) -> None:
        """Records are in the store."""
        with self._lock:
            self.stored += records
            self._tell(STORED, "", records)

    def drop(self, loss: Loss, count: int = 1) -> None:
        """Records are lost."""
        if count:
            with self._lock:
                self.dropped[loss] += count
                self._tell(DROPPED, loss.value, count)

    def strip(self, count: int = 1) -> None:
        """Records are kept without their content."""
        with self._lock:
            self.bare += count
            self._tell(BARE, "", count)

    def hurry(self) -> None:
        """An answer left before its record was written."""
        with self._lock:
            self.unconfirmed += 1
            self._tell(UNCONFIRMED, "", 1)
