"""A record that is dropped leaves no call open: what has ended is never told as interrupted, nor counted twice."""

import errno
from pathlib import Path

import pytest

from llmproxy_grpc.records.ingester import Ingester
from llmproxy_grpc.records.quarantine import Quarantine
from llmproxy_grpc.records.record import Record
from llmproxy_grpc.records.spool import keeper, writer
from llmproxy_grpc.records.spool.entries import Began, Dropped, Ended, Judged, encode
from llmproxy_grpc.records.spool.frames import frame
from llmproxy_grpc.records.spool.room import Room
from llmproxy_grpc.records.spool.segment_file import SegmentFile
from llmproxy_grpc.records.spool.writer import Offer
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.store import Page
from llmproxy_grpc.records.tally import Loss, Tally
from tests.fakes.ingester_bench import frames
from tests.fakes.records import rows_of
from tests.fakes.spooled import a_begin, an_end, new_id
from tests.records.test_spool import Spooling


@pytest.fixture
def failing(monkeypatch):
    """What the disk says to whoever writes; None while it takes everything."""
    number: list[int | None] = [None]
    really = SegmentFile.append

    def append(self, data):
        if number[0] is not None:
            raise OSError(number[0], "broken")
        really(self, data)

    monkeypatch.setattr(SegmentFile, "append", append)
    return number


def told_of(spool: Spooling) -> list[tuple[type, str]]:
    return [(type(said), said.id) for said in spool.said()]


def records_behind(folder: Path, tally: Tally) -> list[Record]:
    """What is stored once the worker is gone."""
    store = SqliteStore(folder / "records.sqlite3")
    writing, reading = store.writer(), store.reader()
    quarantine = Quarantine(folder / "quarantine")
    ingester = Ingester(folder / "spool", writing, tally, quarantine=quarantine, render=None, clock_us=lambda: 9)
    while ingester.move():
        pass
    ingester.bury()
    records = rows_of(reading, Page(tenant="default", as_of_seq=10**9, limit=1000))
    writing.close()
    reading.close()
    return records


def test_an_end_that_finds_the_spool_full_is_told_without_its_record(tmp_path, monkeypatch):
    with Spooling(tmp_path / "spool") as spool:
        spool.put(a_begin(call := new_id()))
        spool.told.wait()
        monkeypatch.setattr(keeper, "room", lambda used, allowed: Room.NONE)
        spool.writer._keeper._allowed = 1
        spool.put(an_end(call))
        spool.put(a_begin(other := new_id()), an_end(other))
        spool.told.wait(4)
    assert [written for _, written in spool.told.wait(4)] == [True, False, False, False]
    assert told_of(spool) == [(Began, call), (Dropped, call)]
    assert spool.tally.dropped == {Loss.SPOOL_FULL: 2}


def test_an_end_that_finds_no_place_in_memory_is_told_behind_its_begin(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MOST_FRAMES", 2)
    spool = Spooling(tmp_path / "spool")  # nothing takes what is put, until it starts
    spool.put(a_begin(call := new_id()), a_begin(other := new_id()))
    spool.put(an_end(call))
    spool.put(a_begin(third := new_id()))
    spool.put(an_end(third))
    with spool:
        spool.told.wait(5)
    assert told_of(spool) == [(Began, call), (Began, other), (Dropped, call)]
    assert spool.tally.dropped == {Loss.QUEUE_FULL: 2}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_end_that_cannot_be_written_is_told_as_soon_as_something_can(tmp_path, failing, number):
    with Spooling(tmp_path / "spool") as spool:
        spool.put(a_begin(call := new_id()))
        spool.told.wait()
        failing[0] = number
        spool.put(an_end(call))
        spool.told.wait(2)
        spool.put(a_begin(other := new_id()), an_end(other))
        spool.told.wait(4)
        assert told_of(spool) == [(Began, call)]
        failing[0] = None
        spool.put(end := an_end())
        spool.told.wait(5)
    assert told_of(spool) == [(Began, call), (Dropped, call), (Ended, end.id)]


def test_the_last_chance_is_when_the_worker_ends(tmp_path, failing):
    with Spooling(tmp_path / "spool") as spool:
        spool.put(a_begin(call := new_id()))
        spool.told.wait()
        failing[0] = errno.ENOSPC
        spool.put(an_end(call))
        spool.told.wait(2)
        failing[0] = None
    assert told_of(spool) == [(Began, call), (Dropped, call)]


def test_accepted_is_stored_and_dropped_behind_a_worker_that_dropped(tmp_path, failing):
    calls = [new_id() for _ in range(6)]
    with Spooling(tmp_path / "spool") as spool:
        spool.put(*map(a_begin, calls))
        spool.told.wait(6)
        spool.put(*map(an_end, calls[:2]))
        spool.told.wait(8)
        failing[0] = errno.ENOSPC
        spool.put(*map(an_end, calls[2:4]))
        spool.told.wait(10)
        failing[0] = None
        spool.put(an_end(calls[4]))
        spool.told.wait(11)
    spool.tally.accept(5)
    records = records_behind(tmp_path, spool.tally)
    assert [record.error_reason for record in records] == ["", "", "", "INTERRUPTED"]
    assert (spool.tally.accepted, spool.tally.stored, spool.tally.dropped.total()) == (6, 4, 2)


@pytest.mark.parametrize("together", [True, False])
def test_an_end_without_its_record_closes_the_call_and_stores_nothing(bench, together):
    begin, end = frames(a_begin(call := new_id())), frames(Dropped(call))
    bench.segment(begin + (end if together else b""))
    bench.drain()
    if not together:
        bench.segment(end, 2)
        bench.drain()
    assert bench.ingester.bury() == 0
    assert (bench.records(), bench.writer.open_calls(), bench.dropped()) == ([], [], {})


def test_an_end_that_makes_no_sense_has_ended_its_call(bench):
    call = new_id()
    bench.segment(frames(a_begin(call)) + frame(encode(an_end(call, request=b"\xff\xff\xff"))))
    bench.drain()
    assert bench.ingester.bury() == 0
    assert (bench.records(), bench.writer.open_calls()) == ([], [])
    assert bench.dropped() == {Loss.REFUSED: 1}


def test_judgements_in_words_that_do_not_fit_into_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MOST_BYTES", 10)
    spool = Spooling(tmp_path / "spool")  # nothing takes what is put, until it starts

    def judged(waiter, content):
        said = Judged(bytes(16), "default", bytes(16), "n", 4 if content else 1, None, content, "", 5)
        spool.writer.put([Offer(said, waiter, len(content or b""))])

    judged("first", b"demonstration")
    judged("second", b"demonstration")
    judged("thumbs", None)
    assert spool.told.all == [("second", False)]
    with spool:
        spool.told.wait(3)
        assert [said.content for said in spool.said()] == [b"demonstration", None]
    assert spool.tally.dropped == {}
