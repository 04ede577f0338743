"""Workers and ingesters die at any moment: whatever was acknowledged is stored, once.

LLMPROXY_STORM_SECONDS makes the storm longer: 60 seconds have some 200 kills on a quiet machine.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import UUID

import apsw
import grpc
import pytest

from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from llmproxy_grpc.records.ingester import Ingester
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.quarantine import Quarantine
from llmproxy_grpc.records.record import Record
from llmproxy_grpc.records.spool.segments import segments
from llmproxy_grpc.records.store import Page
from llmproxy_grpc.records.stores import SQLITE, opener
from llmproxy_grpc.records.tally import Loss, Tally
from llmproxy_grpc.server.interceptors.recording import STATE_KEY
from tests.e2e.conftest import Running, wait_until_ready, with_listeners
from tests.fakes.kept import Kept
from tests.fakes.postgres import PostgresServer
from tests.fakes.requests import chat_request, stream_request

SECONDS = float(os.environ.get("LLMPROXY_STORM_SECONDS", "12"))
SERVER_KILLS = int(os.environ.get("LLMPROXY_STORM_KILLS", "3"))
WORKERS = 4
PAUSE = 0.02
BETWEEN = 0.2


class Worker:
    """A process that is killed and begun again, and the ids that it has acknowledged."""

    def __init__(self, *command: str) -> None:
        self._command = [sys.executable, "-m", *command]
        self.acknowledged: set[str] = set()
        self.begin()

    def begin(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _read(self, lines) -> None:
        for line in lines:
            if line.endswith("\n"):
                self.acknowledged.add(line.strip())


def drain(places: Places, store: str = SQLITE) -> Tally:
    tally = Tally()
    writer = opener(store, places)().writer()
    ingester = Ingester(
        places.spool,
        writer,
        tally,
        quarantine=Quarantine(places.quarantine),
        render=None,
        clock_us=lambda: time.time_ns() // 1000,
    )
    while ingester.move() or segments(places.spool):
        pass
    ingester.bury()
    assert writer.open_calls() == []
    writer.close()
    return tally


def stored_in(places: Places, store: str) -> list[Record]:
    reader = opener(store, places)().reader()
    try:
        return reader.page(Page(tenant="default", as_of_seq=10**12, limit=10**6))
    finally:
        reader.close()


def quick_check(places: Places) -> str:
    connection = apsw.Connection(str(places.store))
    try:
        return connection.execute("PRAGMA quick_check").fetchall()[0][0]
    finally:
        connection.close()


class Database:
    """A PostgreSQL server that is killed like the others, with all its sessions."""

    acknowledged: frozenset[str] = frozenset()

    def __init__(self, server: PostgresServer) -> None:
        self.kill, self.begin = server.kill, server.start


@pytest.fixture(params=[SQLITE, "postgres"])
def store_and_database(request):
    """What `records.store` says, and the database if there is one to kill."""
    if request.param == SQLITE:
        yield SQLITE, []
        return
    with PostgresServer() as server:
        yield server.address, [Database(server)]


@pytest.mark.timeout(180 + 3 * SECONDS)
def test_nothing_acknowledged_is_lost_or_doubled_when_anybody_is_killed(tmp_path, store_and_database, record_property):
    store, databases = store_and_database
    chance = random.Random(7)
    folder = str(tmp_path)
    workers = [Worker("tests.fakes.spool_process", folder, str(number), str(PAUSE)) for number in range(WORKERS)]
    ingester = Worker("tests.fakes.ingester_process", folder, store)
    everybody = [*workers, ingester, *databases]
    kills = 0
    ends_at = time.monotonic() + SECONDS
    while time.monotonic() < ends_at:
        time.sleep(BETWEEN * chance.random() * 2)
        victim = chance.choice(everybody)
        victim.kill()
        victim.begin()
        kills += 1
    for each in (*workers, ingester):
        each.kill()
    acknowledged = set().union(*(worker.acknowledged for worker in workers))
    places = Places(tmp_path)
    tally = drain(places, store)
    records = stored_in(places, store)
    stored = [str(UUID(bytes=record.id)) for record in records if record.error_reason != "INTERRUPTED"]
    torn = tally.dropped[Loss.DAMAGED]
    record_property("storm", f"{kills} kills, {len(acknowledged)} acknowledged, {len(records)} records, {torn} torn")
    assert kills >= SECONDS / 2
    assert len(acknowledged) > 100
    assert acknowledged <= set(stored)
    assert len(set(stored)) == len(stored)
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert store != SQLITE or quick_check(places) == "ok"


def start(command: list[str], folder: Path) -> Running:
    folder.mkdir()
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, cwd=folder, stdout=stdout, stderr=stderr)
    return wait_until_ready(process, out, err)


async def answered(address: str, server: subprocess.Popen, kill_after: int) -> set[str]:
    """Calls until so many have been answered, then kills the server under the rest; gives the ids that came."""
    ids: set[str] = set()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = LlmProxyServiceStub(channel)

        async def chat() -> None:
            while True:
                call = stub.Chat(chat_request("one two three"))
                answer = await call
                if STATE_KEY not in dict(await call.trailing_metadata()):
                    ids.add(answer.id)
                kill_if_enough()

        async def stream() -> None:
            while True:
                started = ""
                call = stub.Stream(stream_request("one two three"))
                async for event in call:
                    started = event.start.id or started
                if STATE_KEY not in dict(await call.trailing_metadata()):
                    ids.add(started)
                kill_if_enough()

        def kill_if_enough() -> None:
            if len(ids) >= kill_after:
                server.kill()

        await asyncio.gather(*(work() for work in (chat, stream) * 8), return_exceptions=True)
    return ids


@pytest.mark.timeout(60 + 30 * SERVER_KILLS)
async def test_nothing_that_a_caller_has_got_is_lost_when_the_server_is_killed(tmp_path, record_property):
    chance = random.Random(11)
    ids: set[str] = set()
    config = {
        "providers": [{"name": "echo", "kind": "echo"}],
        "models": [{"id": "assistant", "targets": [{"provider": "echo", "model": "echo"}]}],
        "records": {"directory": str(tmp_path / "records")},
        "telemetry": {"log_level": "error"},
    }
    file = tmp_path / "llmproxy.yaml"
    file.write_text(json.dumps(with_listeners(config)))
    command = [sys.executable, "-m", "llmproxy_grpc", "serve", "-c", str(file)]
    for number in range(SERVER_KILLS):
        running = start(command, tmp_path / f"run-{number}")
        server = running.process
        ids |= await answered(running.grpc, server, chance.randrange(50, 400))
        server.wait()
    places = Places(tmp_path / "records")
    drain(places)
    records = Kept(tmp_path / "records").records()
    stored = {str(UUID(bytes=record.id)) for record in records if record.error_reason != "INTERRUPTED"}
    interrupted = [record for record in records if record.error_reason == "INTERRUPTED"]
    counts = f"{SERVER_KILLS} kills, {len(ids)} answered, {len(records)} records, {len(interrupted)} interrupted"
    record_property("storm", counts)
    assert ids <= stored
    assert len({record.id for record in records}) == len(records)
    assert quick_check(places) == "ok"
