"""What a store of records does, whichever database it is: written by one ingester, read by exports.

Everything here blocks, so it runs in threads, never on the event loop. A writer and every reader has a connection of
its own and is used by one thread at a time. The tenant is always an argument of its own, never part of a condition.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from llmproxy_grpc.records.record import Body, Entry, Feedback, OpenCall, Record, Tombstone, Watermarks

Row = tuple[Any, ...]
"""Values of columns, as the database hands them over."""

LEASE: Final = 1.0
"""Seconds for which what was read may be handed to a caller without looking whether it is still there. An erasure that
is to be acknowledged waits as long behind its commit, so nothing leaves afterwards, whichever process read it."""


class StoreError(Exception):
    """Something is wrong with the store; the text is for logs and operators."""


class StoreUnavailable(StoreError):
    """It is locked, full, gone or broken for now: the same may succeed later."""


class StoreFull(StoreUnavailable):
    """There is no room left on its disk."""


class StoreRefused(StoreError):
    """It will never take what it was given: one of the rows of a batch, whichever that is."""


class StoreUnfit(StoreError):
    """It cannot be used by this version at all: a newer file, or a database library with a known flaw."""


class Batch(Struct, frozen=True, kw_only=True):
    """What is committed in one transaction.

    Attributes:
        entries: Records; one whose id is there already, or was erased, is passed over.
        feedback: Judgements; the same again, or of an erased record, is passed over.
        opened: Calls that have begun.
        closed: Ids of calls that are no longer open.
        progress: By segment of the spool, up to which byte it is contained in the store.
        forget: Segments that are gone.
    """

    entries: Sequence[Entry] = ()
    feedback: Sequence[Feedback] = ()
    opened: Sequence[OpenCall] = ()
    closed: Sequence[bytes] = ()
    progress: Mapping[str, int] = {}
    forget: Sequence[str] = ()


class Written(Struct, frozen=True):
    """What became of the records of a batch: how many were stored, and how many had been erased before."""

    records: int = 0
    erased: int = 0


class Condition(Struct, frozen=True):
    """A condition on rows of `record`, known as `r`: SQL with a `?` for each value, which both dialects understand."""

    sql: str = "TRUE"
    values: Sequence[object] = ()


class Page(Struct, frozen=True, kw_only=True):
    """Which rows to read: those of one tenant with `after_seq` < seq <= `as_of_seq`, in that order."""

    tenant: str
    after_seq: int = 0
    as_of_seq: int
    condition: Condition = Condition()
    limit: int = 512


class Erase(Struct, frozen=True, kw_only=True):
    """Whose records are erased: those with this id, of this end user, of this conversation; exactly one is set.

    `tenant` None means every tenant: the operator's own command.
    """

    tenant: str | None = None
    id: bytes | None = None
    end_user: str | None = None
    conversation: str | None = None


class Statistics(Struct, frozen=True):
    """How much a store holds; times None if it is empty."""

    records: int
    bodies: int
    feedback: int
    tombstones: int
    open_calls: int
    bytes: int
    oldest: int | None
    newest: int | None


class RecordReader(Protocol):
    """Reads on a connection of its own; every call is a short transaction of its own."""

    def watermarks(self, tenant: str) -> Watermarks:
        """How far the tenant's rows reach now."""
        ...

    def columns(self, page: Page, names: Sequence[str]) -> list[Row]:
        """Some columns, which are Record's fields, of rows by condition, in the order of seq.

        Fewer than the limit means that there are no more.
        """
        ...

    def query(self, tenant: str, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Runs a reading statement, whose first `?` is the tenant, for what pages cannot say."""
        ...

    def records(self, tenant: str, seqs: Sequence[int]) -> dict[int, Record]:
        """Rows by position; those that are gone are left out."""
        ...

    def bodies(self, tenant: str, seqs: Sequence[int]) -> dict[int, Body]:
        """Content by position, lines included; records without content are left out."""
        ...

    def lines(self, tenant: str, seqs: Sequence[int]) -> dict[int, tuple[bytes | None, str]]:
        """Lines of OPENAI_CHAT with their faults, by position, without reading the rest of the content."""
        ...

    def feedback(self, tenant: str, record_ids: Sequence[bytes], as_of: int) -> dict[bytes, list[Feedback]]:
        """The latest judgements of each name, kind and source up to `as_of`, by record, in the order of arrival."""
        ...

    def tombstones(self, tenant: str, after_seq: int, as_of_seq: int) -> list[Tombstone]:
        """What was erased of these positions."""
        ...

    def statistics(self) -> Statistics:
        """How much there is."""
        ...

    def interrupt(self) -> None:
        """Ends the statement that runs, if one does: it raises StoreUnavailable. Other threads may call it."""
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...


class RecordWriter(Protocol):
    """The one connection that writes; whoever holds it is the ingester."""

    def write(self, batch: Batch) -> Written:
        """Commits a batch, all of it or nothing; positions are given here, without gaps.

        Raises:
            StoreUnavailable: Nothing was written; try again later.
            StoreRefused: Nothing was written; one of the rows is not fit to be.
        """
        ...

    def progress(self) -> dict[str, int]:
        """By segment, up to which byte it has been committed."""
        ...

    def open_calls(self) -> list[OpenCall]:
        """Calls that have begun and not ended, by the segments committed so far."""
        ...

    def parents(self, tenant: str, hashes: Sequence[bytes]) -> dict[bytes, tuple[bytes, str]]:
        """Id and conversation of the records with these full hashes, by hash."""
        ...

    def expire(self, before: int, limit: int) -> int:
        """Deletes records that started before a time, about so many at most, with all that hangs on them."""
        ...

    def expire_feedback(self, before: int, limit: int) -> int:
        """Deletes judgements given before a time whose record never came, or has gone; so many at most."""
        ...

    def erase(self, what: Erase, reason: str) -> int:
        """Deletes records for good, down to the bytes of the files; returns how many there were."""
        ...

    def check(self) -> None:
        """Sees that this is still the store that others find; `write` does so by itself.

        Raises:
            StoreUnavailable: It is not; open it anew.
        """
        ...

    def tidy(self) -> None:
        """Gives freed room back and folds the write-ahead log away, as far as readers allow."""
        ...

    def interrupt(self) -> None:
        """Breaks off what runs, which raises StoreUnavailable then; may be called by another thread, also too late."""
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...


class RecordStore(Protocol):
    """A store that is open: its schema is there and up to date."""

    def writer(self) -> RecordWriter:
        """A connection that writes; there is to be one at a time over all processes."""
        ...

    def reader(self) -> RecordReader:
        """A connection that reads."""
        ...

    def shared_key(self, mine: bytes) -> bytes:
        """The secret of all hosts that keep their records here: that of the first one that asked."""
        ...


OpenStore = Callable[[], RecordStore]
"""Opens the store, migrating it if it is older; raises StoreUnavailable or StoreUnfit."""
