"""Somebody moves or deletes files of the records under those who use them: new ones are made, and records go there."""

import os
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from llmproxy_grpc.records import ingesting
from llmproxy_grpc.records.election import elect
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.record import Record
from llmproxy_grpc.records.spool import keeper
from llmproxy_grpc.records.spool.segments import create_locked, is_complete, segments, workers
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.store import Batch, Page, StoreUnavailable
from tests.fakes.ingester_bench import frames
from tests.fakes.kept import Kept
from tests.fakes.polling import until
from tests.fakes.records import an_entry, rows_of
from tests.fakes.spooled import a_begin, an_end, new_id
from tests.records.test_ingesting import ingesting_in, now_us, spooled
from tests.records.test_spool import Spooling


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("ELECTION", "FIRST_PAUSE", "BURIALS"):
        monkeypatch.setattr(ingesting, name, 0.02)


def moved(path: Path) -> None:
    path.rename(path.with_name("moved"))


def deleted(folder: Path) -> None:
    """At once, though others make and delete files in it meanwhile."""
    gone = folder.with_name(f"{folder.name}-gone")
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def replaced(path: Path) -> None:
    path.unlink()
    path.touch()


def records_in(path: Path) -> list[Record]:
    reader = SqliteStore(path).reader()
    try:
        return rows_of(reader, Page(tenant="default", as_of_seq=10**12, limit=1000))
    finally:
        reader.close()


def has_forgotten_its_segments(path: Path) -> bool:
    """Whether the store is behind the last commit that there is a cause for."""
    reader = SqliteStore(path).reader()
    try:
        return reader.query("", "SELECT count(*) FROM segment WHERE ? = ''") == [(0,)]
    finally:
        reader.close()


@pytest.mark.parametrize("take_away", [moved, Path.unlink, replaced])
def test_what_is_committed_to_a_file_that_is_gone_is_not_stored(tmp_path, take_away):
    path = tmp_path / "records.sqlite3"
    writer = SqliteStore(path).writer()
    writer.write(Batch(entries=[an_entry()]))
    writer.check()
    take_away(path)
    with pytest.raises(StoreUnavailable, match="moved or deleted"):
        writer.write(Batch(entries=[an_entry()]))
    with pytest.raises(StoreUnavailable, match="moved or deleted"):
        writer.check()
    writer.close()


def test_a_file_that_was_moved_away_is_whole_without_the_log_that_stayed(tmp_path):
    path = tmp_path / "records.sqlite3"
    writer = SqliteStore(path).writer()
    entries = [an_entry() for _ in range(3)]
    writer.write(Batch(entries=entries))
    moved(path)
    with pytest.raises(StoreUnavailable):
        writer.check()
    writer.close()
    assert records_in(path) == []
    assert [record.id for record in records_in(tmp_path / "moved")] == [entry.record.id for entry in entries]


@pytest.mark.parametrize("take_away", [moved, Path.unlink])
async def test_records_wait_in_the_spool_until_there_is_a_file_again(tmp_path, take_away):
    places = Places(tmp_path)
    places.spool.mkdir()
    first, second = an_end(started_at=now_us()), an_end(started_at=now_us())
    held = create_locked(places.spool / "000-a-00000001.spool")
    os.write(held, frames(first))
    with capture_logs() as lines, ingesting_in(places) as one:
        await Kept(tmp_path).wait(1)
        take_away(places.store)
        os.write(held, frames(second))
        # The segment was still there, and goes in from its beginning.
        await until(lambda: places.store.exists() and len(records_in(places.store)) == 2)
        await until(lambda: one.available)
    os.close(held)
    told = [(line["event"], line.get("error", "")) for line in lines]
    assert told == [("store_unavailable", "the file was moved or deleted; a new one is made"), ("store_available", "")]


async def test_a_file_is_made_again_also_if_nothing_comes(tmp_path):
    places = Places(tmp_path)
    spooled(places, an_end(started_at=now_us()))
    with ingesting_in(places):
        await Kept(tmp_path).wait(1)
        await until(lambda: has_forgotten_its_segments(places.store))
        places.store.unlink()
        await until(places.store.exists)


def test_a_lock_whose_file_is_gone_is_no_lock(tmp_path):
    path = tmp_path / "folder" / "lock"
    first = elect(path)
    assert first is not None
    assert first.stands
    assert elect(path) is None
    shutil.rmtree(path.parent)
    assert not first.stands
    second = elect(path)
    assert second is not None
    assert second.stands
    assert not first.stands
    first.resign()
    assert second.stands
    second.resign()


async def test_whoever_lost_the_folder_of_its_lock_stands_for_election_again(tmp_path):
    places = Places(tmp_path / "records")
    with ingesting_in(places) as one:
        await until(lambda: one.leading and places.store.exists())
        deleted(places.folder)
        other = elect(places.ingester_lock)
        await until(lambda: not one.leading)
        other.resign()
        await until(lambda: one.leading)
        spooled(places, an_end(started_at=now_us()))
        await Kept(places.folder).wait(1)


def test_what_is_written_after_the_spool_was_taken_away_is_in_a_new_one(tmp_path):
    """At once, not only when somebody looks after it: nobody would be told of what went into a deleted file."""
    folder = tmp_path / "spool"
    with Spooling(folder) as spool:
        spool.put(an_end())
        spool.told.wait()
        shutil.rmtree(folder)
        spool.put(end := an_end())
        spool.told.wait(2)
        assert [said.id for said in spool.said()] == [end.id]


def test_a_spool_that_was_moved_is_not_written_to_any_more(tmp_path):
    folder = tmp_path / "spool"
    with Spooling(folder) as spool:
        spool.put(an_end())
        spool.told.wait()
        folder.rename(tmp_path / "moved")
        spool.put(end := an_end())
        spool.told.wait(2)
        assert [said.id for said in spool.said()] == [end.id]


async def test_a_worker_shows_that_it_lives_again_though_it_has_nothing_to_write(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "EVERY", 0.02)
    folder = tmp_path / "spool"
    with Spooling(folder) as spool:
        spool.put(a_begin(new_id()))
        spool.told.wait()
        shutil.rmtree(folder)
        await until(lambda: True in workers(folder).values())


async def test_a_worker_shows_that_it_lives_again_though_it_has_no_segment(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "EVERY", 0.02)
    folder = tmp_path / "spool"
    with Spooling(folder, segment_bytes=1) as spool:
        spool.put(a_begin(new_id()))
        spool.told.wait()
        await until(lambda: all(is_complete(segment.path) for segment in segments(folder)))
        shutil.rmtree(folder)
        await until(lambda: True in workers(folder).values())


async def test_calls_that_run_while_the_spool_is_taken_away_are_not_taken_for_interrupted(tmp_path, monkeypatch):
    """The record that ends such a call would be passed over: one of its id is there."""
    monkeypatch.setattr(keeper, "EVERY", 0.5)
    places = Places(tmp_path)
    with Spooling(places.spool) as spool, ingesting_in(places):
        spool.put(a_begin(call := new_id()))
        await until(lambda: Kept(tmp_path).soon(lambda kept: kept.statistics().open_calls))
        deleted(places.spool)
        await until(lambda: True in workers(places.spool).values())
        spool.put(an_end(call, started_at=now_us()))
        [record] = await Kept(tmp_path).wait(1)
    assert record.error_reason == ""


async def test_calls_of_a_worker_that_shows_no_life_are_interrupted_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(ingesting, "GRACE", 0.2)
    places = Places(tmp_path)
    spooled(places, a_begin(new_id()))
    with ingesting_in(places):
        [record] = await Kept(tmp_path).wait(1)
    assert record.error_reason == "INTERRUPTED"
