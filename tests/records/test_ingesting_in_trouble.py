"""The thread that ingests when the store is away, full, or does not answer: what it tells, and how it ends."""

import asyncio
import os
import threading
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from llmproxy_grpc.records import ingesting
from llmproxy_grpc.records.ballast import Ballast
from llmproxy_grpc.records.election import elect, told_available
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.postgres.store import PostgresStore
from llmproxy_grpc.records.spool.segments import segments
from llmproxy_grpc.records.sqlite.faults import faults_told
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.sqlite.writer import SqliteWriter
from llmproxy_grpc.records.store import StoreFull, StoreUnavailable
from tests.fakes.kept import Kept
from tests.fakes.polling import until
from tests.fakes.postgres import PostgresServer
from tests.fakes.spooled import an_end
from tests.records.test_ingesting import ingesting_in, now_us, spooled


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("ELECTION", "FIRST_PAUSE", "BURIALS"):
        monkeypatch.setattr(ingesting, name, 0.02)
    monkeypatch.setattr(ingesting, "LONGEST_PAUSE", 0.05)


async def test_one_that_does_not_ingest_takes_the_word_of_the_one_that_does(tmp_path, monkeypatch):
    places, away = Places(tmp_path), [False]

    def check(_writer):
        if away[0]:
            raise StoreUnavailable("away")

    monkeypatch.setattr(SqliteWriter, "check", check)
    with ingesting_in(places) as first:
        await until(lambda: first.leading)
        with ingesting_in(places) as second:
            away[0] = True
            await until(lambda: not second.available)
            assert not second.leading
            away[0] = False
            await until(lambda: first.available and second.available)


async def test_one_who_follows_a_dead_one_in_trouble_tells_when_it_is_over(tmp_path):
    places = Places(tmp_path)
    office = elect(places.ingester_lock)
    office.tell(available=False)
    with ingesting_in(places) as one:
        await until(lambda: not one.available)
        office.resign()
        await until(lambda: one.available)
    assert told_available(places.ingester_lock)


async def test_a_lock_that_cannot_be_opened_is_told_by_its_path(tmp_path):
    places = Places(tmp_path)
    places.ingester_lock.mkdir(parents=True)
    with capture_logs() as lines, ingesting_in(places) as one:
        await until(lambda: not one.available)
        places.ingester_lock.rmdir()
        await until(lambda: one.leading and one.available)
    assert [(line["event"], line.get("error")) for line in lines] == [
        ("store_unavailable", f"{places.ingester_lock} cannot be locked: Is a directory"),
        ("store_available", None),
    ]


async def test_each_failure_is_told_once_until_the_store_is_back(tmp_path):
    places = Places(tmp_path)
    unreadable = places.spool / "000-a-00000001.spool"
    unreadable.mkdir(parents=True)
    failures = [StoreUnavailable("no answer"), StoreUnavailable("refused"), StoreUnavailable("no answer")]

    def open_store():
        if failures:
            raise failures.pop(0)
        return SqliteStore(places.store)

    with capture_logs() as lines, ingesting_in(places, open_store) as one:
        await until(lambda: len(lines) == 3)
        unreadable.rmdir()
        await until(lambda: one.available and lines[-1]["event"] == "store_available")
        failures.append(StoreUnavailable("refused"))
        places.store.unlink()
        await until(lambda: not failures and one.available)
    assert [line.get("error") for line in lines] == [
        "no answer",
        "refused",
        f"{unreadable}: Is a directory",
        None,
        "the file was moved or deleted; a new one is made",
        "refused",
        None,
    ]


async def test_the_end_of_a_process_does_not_wait_for_a_store_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(ingesting, "LAST_WAIT", 0.1)
    monkeypatch.setattr(ingesting, "BREAK", 0.05)
    busy = threading.Event()

    def endless(self):
        busy.set()
        with faults_told():
            self._connection.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT max(i) FROM n")

    monkeypatch.setattr(SqliteWriter, "check", endless)
    places = Places(tmp_path)
    spooled(places, an_end(started_at=now_us()))
    with capture_logs() as lines, ingesting_in(places) as one:
        await until(busy.is_set)
        await asyncio.wait_for(asyncio.to_thread(one.close), 10)
    assert [line["error"] for line in lines] == ["no answer in time; the spool keeps what is not stored"]
    assert segments(places.spool)


async def test_the_end_of_a_process_does_not_wait_for_a_postgres_that_has_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(ingesting, "LAST_WAIT", 0.1)
    places = Places(tmp_path)
    with PostgresServer() as server:
        store = await asyncio.to_thread(PostgresStore, server.address, spool="host")
        with ingesting_in(places, lambda: store) as one:
            await until(lambda: one.leading)
            await asyncio.sleep(0.05)  # it may be dialling, or be connected
            server.freeze()
            spooled(places, an_end(started_at=now_us()))
            await asyncio.sleep(0.1)  # it looks ten times in that
            await asyncio.wait_for(asyncio.to_thread(one.close), 20)
    assert segments(places.spool)


def test_after_a_full_disk_ballast_takes_as_much_room_again_besides(tmp_path, monkeypatch):
    ballast = Ballast(tmp_path / "ballast", 4096)
    free = [0]
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_frsize=1024, f_blocks=10**9, f_bavail=free[0]))
    for free[0], taken in ((4, False), (7, False), (8, True)):
        assert ballast.take(after_full=True) is taken
    ballast.drop()
    free[0] = 4
    assert ballast.take()


async def test_on_a_full_disk_nothing_is_tried_until_there_is_room_again(tmp_path, monkeypatch):
    places, full, tries = Places(tmp_path), [True], []
    really = SqliteWriter.write

    def write(self, batch):
        tries.append(full[0])
        if full[0]:
            raise StoreFull("full")
        return really(self, batch)

    def disk(_path):
        return SimpleNamespace(f_frsize=1024, f_blocks=10**9, f_bavail=4 if full[0] else 8)

    monkeypatch.setattr(os, "statvfs", disk)
    monkeypatch.setattr(SqliteWriter, "write", write)
    tidied = []
    monkeypatch.setattr(SqliteWriter, "tidy", lambda _: tidied.append(True))
    spooled(places, an_end(started_at=now_us()))
    with capture_logs() as lines, ingesting_in(places) as one:
        await until(lambda: len(tidied) > 5)
        assert (tries, one.available) == ([True], False)
        full[0] = False
        await Kept(tmp_path).wait(1)
        await until(lambda: one.available)
    assert [line["event"] for line in lines] == ["store_full", "store_available"]
