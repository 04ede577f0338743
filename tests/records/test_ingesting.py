"""The thread that ingests: one of all, that goes on whatever fails."""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest

from llmproxy_grpc.records import ingesting
from llmproxy_grpc.records.ballast import Ballast
from llmproxy_grpc.records.election import elect
from llmproxy_grpc.records.end_users import EndUsers, read_key
from llmproxy_grpc.records.ingesting import AT_ONCE, Ingesting, Manners
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.quarantine import Quarantine
from llmproxy_grpc.records.spool import reading
from llmproxy_grpc.records.spool.entries import encode
from llmproxy_grpc.records.spool.frames import frame
from llmproxy_grpc.records.spool.segments import create_locked, segments
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.sqlite.writer import SqliteWriter
from llmproxy_grpc.records.store import Batch, StoreFull, StoreUnavailable, StoreUnfit
from llmproxy_grpc.records.stores import spool_id
from llmproxy_grpc.records.tally import Tally
from tests.fakes.kept import Kept
from tests.fakes.polling import until
from tests.fakes.records import a_judgement, an_id
from tests.fakes.spooled import an_end


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("ELECTION", "FIRST_PAUSE", "UNFIT_PAUSE", "BURIALS"):
        monkeypatch.setattr(ingesting, name, 0.02)
    monkeypatch.setattr(ingesting, "LONGEST_PAUSE", 0.05)


def spooled(places, *ends, number=1):
    places.spool.mkdir(parents=True, exist_ok=True)
    data = b"".join(frame(encode(end)) for end in ends)
    path = places.spool / f"000-a-{number:08d}.spool"
    hidden = path.with_suffix(".new")  # else one that ingests may find it empty, and done with
    hidden.write_bytes(data)
    hidden.rename(path)


def now_us():
    return time.time_ns() // 1000


@contextmanager
def ingesting_in(places, open_store=None, **manners):
    settings = {"retention": 1e9, "poll": 0.01, "ballast": 4096, **manners}
    one = Ingesting(places, open_store or (lambda: SqliteStore(places.store)), Tally(), Manners(**settings))
    one.start()
    try:
        yield one
    finally:
        one.close()


async def test_one_of_several_is_elected_and_another_takes_over(tmp_path):
    places = Places(tmp_path)
    with ingesting_in(places) as first:
        await until(lambda: first.leading)
        with ingesting_in(places) as second:
            spooled(places, an_end(started_at=now_us()))
            await Kept(tmp_path).wait(1)
            assert not second.leading
            first.close()
            await until(lambda: second.leading)
            spooled(places, an_end(started_at=now_us()), number=2)
            await Kept(tmp_path).wait(2)


@pytest.mark.parametrize(
    "failure",
    [StoreUnavailable("locked"), StoreFull("full"), StoreUnfit("newer"), OSError(5, "broken"), RuntimeError()],
)
async def test_whatever_fails_it_tries_again(tmp_path, failure):
    places = Places(tmp_path)
    failing = [True]

    def open_store():
        if failing[0]:
            raise failure
        return SqliteStore(places.store)

    spooled(places, an_end(started_at=now_us()))
    with ingesting_in(places, open_store) as one:
        await until(lambda: not one.available)
        failing[0] = False
        await Kept(tmp_path).wait(1)
        await until(lambda: one.available)


async def test_a_commit_whose_answer_was_lost_is_counted(tmp_path, monkeypatch):
    places, really = Places(tmp_path), SqliteWriter.write
    lost: list[bool] = []

    def write(self, batch):
        written = really(self, batch)
        if batch.entries and not lost:
            lost.append(True)
            raise StoreUnavailable("the answer was lost")
        return written

    monkeypatch.setattr(SqliteWriter, "write", write)
    spooled(places, an_end(started_at=now_us()))
    with ingesting_in(places) as one:
        await until(lambda: lost and not segments(places.spool))
        assert one._tally.stored == len(Kept(tmp_path).records()) == 1


async def test_what_is_left_is_ingested_at_the_end(tmp_path):
    places = Places(tmp_path)
    with ingesting_in(places, poll=60.0) as one:
        await until(lambda: one.leading and one.available and places.store.exists())
        spooled(places, an_end(started_at=now_us()))
    assert segments(places.spool) == []
    assert len(Kept(tmp_path).records()) == 1


async def test_it_waits_between_batches_but_not_while_there_is_more_than_one_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_FRAMES", 10)
    places = Places(tmp_path)
    spooled(places, *(an_end(started_at=now_us()) for _ in range(35)))
    with ingesting_in(places, poll=60.0):
        await Kept(tmp_path).wait(35)
        spooled(places, an_end(started_at=now_us()), number=2)
        await asyncio.sleep(0.3)
        assert len(Kept(tmp_path).records()) == 35


async def test_old_records_are_deleted(tmp_path):
    places = Places(tmp_path)
    spooled(places, an_end(started_at=now_us() - 10_000_000), an_end(started_at=now_us()))
    places.quarantine.mkdir()
    old = places.quarantine / "old.bin"
    old.write_bytes(b"x")
    os.utime(old, (1, 1))
    places.plans.mkdir()
    plan = places.plans / "old.plan"
    plan.write_bytes(b"x")
    os.utime(plan, (1, 1))
    with ingesting_in(places, retention=5.0):
        await until(lambda: places.store.exists() and [record.seq for record in Kept(tmp_path).records()] == [2])
        await until(lambda: not old.exists())
        await until(lambda: not plan.exists())


async def test_old_judgements_without_a_record_are_deleted_however_many_they_are(tmp_path):
    places = Places(tmp_path)
    writer = SqliteStore(places.store).writer()
    writer.write(Batch(feedback=[a_judgement(an_id(number), created_at=1) for number in range(2 * AT_ONCE + 1)]))
    writer.write(Batch(feedback=[a_judgement(an_id(9999), created_at=now_us())]))
    writer.close()
    reader = SqliteStore(places.store).reader()
    with ingesting_in(places, retention=3600.0):
        await until(lambda: reader.statistics().feedback == 1)
    reader.close()


async def test_one_that_does_not_ingest_sees_that_nobody_does(tmp_path, monkeypatch):
    places = Places(tmp_path)
    office = elect(places.ingester_lock)
    spooled(places, an_end())
    with ingesting_in(places) as one:
        await until(lambda: not one.leading)
        assert one.available
        old = next(places.spool.iterdir())
        os.utime(old, (1, 1))
        await until(lambda: not one.available)
    office.resign()


async def test_a_segment_that_is_still_written_to_tells_nothing_however_old_it_is(tmp_path):
    places = Places(tmp_path)
    office = elect(places.ingester_lock)
    places.spool.mkdir(parents=True)
    path = places.spool / "000-a-00000001.spool"
    writing = create_locked(path)
    os.utime(path, (1, 1))
    with ingesting_in(places) as one:
        await asyncio.sleep(0.2)
        assert one.available
        os.close(writing)
        await until(lambda: not one.available)
    office.resign()


async def test_deleting_what_is_old_does_not_keep_records_waiting_when_it_fails(tmp_path, monkeypatch):
    places = Places(tmp_path)
    tried = []

    def expire(_writer, _before, _limit):
        tried.append(len(Kept(tmp_path).records()))
        raise StoreUnavailable("locked")

    monkeypatch.setattr(SqliteWriter, "expire", expire)
    for number in range(3):
        spooled(places, an_end(started_at=now_us()), number=number)
    with ingesting_in(places):
        await Kept(tmp_path).wait(3)
        spooled(places, an_end(started_at=now_us()), number=9)
        await Kept(tmp_path).wait(4)
    assert len(tried) == 1


async def test_ballast_is_thrown_overboard_when_the_store_is_full(tmp_path):
    places = Places(tmp_path)
    dropped = []

    def open_store():
        if not dropped:
            dropped.append(places.ballast.exists())
            raise StoreFull("full")
        return SqliteStore(places.store)

    Ballast(places.ballast, 4096).take()
    spooled(places, an_end(started_at=now_us()))
    with ingesting_in(places, open_store):
        await Kept(tmp_path).wait(1)
        await until(places.ballast.exists)
    assert dropped == [True]


async def test_it_goes_on_where_a_full_disk_does_not_even_let_the_ballast_go(tmp_path):
    places = Places(tmp_path)
    places.ballast.mkdir()  # cannot be deleted as a file
    failures = [StoreFull("full"), StoreFull("full")]

    def open_store():
        if failures:
            raise failures.pop()
        return SqliteStore(places.store)

    spooled(places, an_end(started_at=now_us()))
    with ingesting_in(places, open_store):
        await until(lambda: not failures)
        places.ballast.rmdir()
        await Kept(tmp_path).wait(1)


def test_what_an_erasure_takes_out_of_quarantine_meanwhile_is_not_missed(tmp_path):
    (tmp_path / "gone.bin").symlink_to(tmp_path / "nothing")
    Quarantine(tmp_path).put("old", b"x")
    os.utime(tmp_path / "old.bin", (0, 0))
    Quarantine(tmp_path).expire(60)
    assert [path.name for path in tmp_path.iterdir()] == ["gone.bin"]


def test_ballast_is_taken_once_and_never_larger_than_the_disk_allows(tmp_path, monkeypatch):
    ballast = Ballast(tmp_path / "ballast", 4096)
    assert ballast.take()
    assert ballast.take()
    assert (tmp_path / "ballast").stat().st_size == 4096
    ballast.drop()
    ballast.drop()

    def full(*_arguments):
        raise OSError(28, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert not ballast.take()
    assert not (tmp_path / "ballast").exists()


def test_quarantine_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("llmproxy_grpc.records.quarantine.MOST_FILES", 2)
    quarantine = Quarantine(tmp_path / "quarantine")
    for number in range(4):
        quarantine.put(str(number), b"x")
    assert quarantine.empty() == 2
    assert quarantine.empty() == 0


def test_the_key_of_a_folder_is_made_once(tmp_path):
    path = tmp_path / "made" / "key"
    key = read_key(path)
    assert len(key) == 32
    assert read_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["key"]


def test_a_key_is_on_the_disk_before_anybody_can_use_it_and_never_empty(tmp_path, monkeypatch):
    """A power cut leaves a file without its bytes: hashes and tokens by an empty key are no secret."""
    done = []
    for name in ("fsync", "link"):
        really = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, name=name, really=really: (done.append(name), really(*given))[1])
    read_key(tmp_path / "key")
    assert done == ["fsync", "link", "fsync"]
    (tmp_path / "key").write_bytes(b"")
    with pytest.raises(OSError, match="is empty"):
        read_key(tmp_path / "key")
    spool_id(tmp_path / "spool.id")
    (tmp_path / "spool.id").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="is empty"):
        spool_id(tmp_path / "spool.id")


def test_threads_that_come_at_once_get_the_same_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        for number in range(30):
            path = tmp_path / str(number) / "key"
            together = Barrier(8)

            def read(path=path, together=together):
                together.wait()
                return read_key(path)

            assert {each.result() for each in [pool.submit(read) for _ in range(8)]} == {path.read_bytes()}
            assert list(path.parent.iterdir()) == [path]


def test_end_users_are_found_by_their_hash_alone():
    raw, hashed, other = EndUsers(), EndUsers(b"k" * 32), EndUsers(b"o" * 32)
    assert raw.kept("ann") == "ann"
    assert hashed.kept("ann") == EndUsers(b"k" * 32).kept("ann") != other.kept("ann")
    assert hashed.kept("") == ""
