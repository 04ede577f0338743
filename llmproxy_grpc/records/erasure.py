"""Erases records for good, beside a running server or without one: from the spool, the store, quarantine and plans."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from llmproxy_grpc.records.election import elect
from llmproxy_grpc.records.ingester import Ingester
from llmproxy_grpc.records.lines import openai_chat_line
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.quarantine import Quarantine
from llmproxy_grpc.records.spool.segments import ask_to_renew, segments
from llmproxy_grpc.records.store import LEASE, Erase, OpenStore, RecordWriter, StoreUnavailable
from llmproxy_grpc.records.tally import Tally

PATIENCE: Final = 30.0
"""Seconds that the ingester of a running server gets to empty the spool."""
POLL: Final = 0.1
REASON: Final = "request"


def erase(
    places: Places,
    open_store: OpenStore,
    *what: Erase,
    patience: float = PATIENCE,
    clock_us: Callable[[], int],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Erases all of what has been recorded so far; calls that still run are recorded later, so erase again then.

    Once it returns, exports that run send nothing of it, but for what gRPC has taken.

    Returns:
        How many records there were.

    Raises:
        StoreUnavailable: Not everything could be reached; what was is erased, so it may be done again.
        StoreUnfit: The store is a newer version's, or its library has a known flaw.
    """
    store = open_store()
    writer = store.writer()
    try:
        _empty_spool(places, writer, patience, clock_us)
        erased = sum(writer.erase(each, REASON) for each in what)
    finally:
        writer.close()
    Quarantine(places.quarantine).empty()
    _empty_plans(places.plans)
    sleep(LEASE)
    return erased


def _empty_plans(folder: Path) -> None:
    """Removes the frozen selections of exports: whom they name cannot be told without reading each.

    Exports that run keep theirs open. One that is being written is there under another name until it is whole, which
    may be between two looks: hence the second round.
    """
    for _ in range(2):
        for path in folder.glob("*"):
            path.unlink(missing_ok=True)


def _empty_spool(places: Places, writer: RecordWriter, patience: float, clock_us: Callable[[], int]) -> None:
    """Sees to it that all that is in the spool now has reached the store, and its files are gone."""
    waiting = {segment.name for segment in segments(places.spool)}
    if not waiting:
        return
    ask_to_renew(places.spool)
    ends_at = time.monotonic() + patience
    while waiting & {segment.name for segment in segments(places.spool)}:
        if time.monotonic() > ends_at:
            raise StoreUnavailable("the spool was not emptied in time, so nothing was erased: is the store available?")
        office = elect(places.ingester_lock)
        if office is None:
            time.sleep(POLL)  # a server ingests
            continue
        try:
            ingester = Ingester(
                places.spool,
                writer,
                Tally(),
                quarantine=Quarantine(places.quarantine),
                render=openai_chat_line,
                clock_us=clock_us,
            )
            if not ingester.move():
                time.sleep(POLL)
        finally:
            office.resign()
