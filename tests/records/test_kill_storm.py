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
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import apsw
import grpc
import pytest

from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from llmproxy_grpc.records.ingester import MOST_ROWS, Ingester
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.quarantine import Quarantine
from llmproxy_grpc.records.record import Record
from llmproxy_grpc.records.spool.entries import Ended, decode
from llmproxy_grpc.records.spool.reading import read_portion
from llmproxy_grpc.records.spool.segments import segments
from llmproxy_grpc.records.store import Page
from llmproxy_grpc.records.stores import SQLITE, opener
from llmproxy_grpc.records.tally import Loss, Tally
from llmproxy_grpc.server.interceptors.recording import STATE_KEY
from tests.e2e.conftest import Running, wait_until_ready, with_listeners
from tests.fakes.kept import Kept
from tests.fakes.postgres import PostgresServer
from tests.fakes.records import rows_of
from tests.fakes.requests import chat_request, stream_request
from tests.fakes.spooled import hash_of

SECONDS = float(os.environ.get("LLMPROXY_STORM_SECONDS", "12"))
SERVER_KILLS = int(os.environ.get("LLMPROXY_STORM_KILLS", "3"))
WORKERS = 4
PAUSE = 0.02
BETWEEN = 0.2


class Worker:
    """A process that is killed and begun again, and the lines that it has written."""

    def __init__(self, *command: str) -> None:
        self._command = [sys.executable, "-m", *command]
        self.told: list[str] = []
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
                self.told.append(line.strip())

    def counted(self, state: str) -> int:
        return sum(int(line.split()[1]) for line in self.told if line.startswith(state))


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


def waiting_in(places: Places, store: str) -> int:
    """Records in the spool that the store does not have."""
    writer = opener(store, places)().writer()
    progress = writer.progress()
    writer.close()
    count = 0
    for segment in segments(places.spool):
        position, portion = progress.get(segment.name, 0), None
        while portion is None or portion.payloads:
            portion = read_portion(segment, position)
            position = portion.end
            count += sum(isinstance(decode(payload), Ended) for payload in portion.payloads)
    return count


def stored_in(places: Places, store: str) -> tuple[list[Record], dict[str, str]]:
    """The records, and of each that has content its hash by id."""
    reader = opener(store, places)().reader()
    hashes: dict[str, str] = {}
    try:
        records = rows_of(reader, Page(tenant="default", as_of_seq=10**12, limit=10**6))
        for some in batched(records, 500):
            bodies = reader.bodies("default", [record.seq for record in some])
            hashes |= {
                str(UUID(bytes=record.id)): hash_of(bodies[record.seq].request, bodies[record.seq].response)
                for record in some
                if record.seq in bodies
            }
    finally:
        reader.close()
    return records, hashes


def batched(records: list[Record], size: int) -> Iterator[list[Record]]:
    for start in range(0, len(records), size):
        yield records[start : start + size]


def quick_check(places: Places) -> str:
    connection = apsw.Connection(str(places.store))
    try:
        return connection.execute("PRAGMA quick_check").fetchall()[0][0]
    finally:
        connection.close()


class Database:
    """A PostgreSQL server that is killed like the others, with all its sessions."""

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
    acknowledged = dict(line.split() for worker in workers for line in worker.told)
    places = Places(tmp_path)
    waiting = waiting_in(places, store)
    tally = drain(places, store)
    records, hashes = stored_in(places, store)
    torn = tally.dropped[Loss.DAMAGED]
    record_property("storm", f"{kills} kills, {len(acknowledged)} acknowledged, {len(records)} records, {torn} torn")
    assert kills >= SECONDS / 2
    assert len(acknowledged) > 100
    assert acknowledged.items() <= hashes.items()
    assert len({record.id for record in records}) == len(records)
    # What is drained is what waited, and whoever was interrupted; all of it is stored, but for what a kill has torn.
    assert tally.accepted + waiting == tally.stored
    assert tally.dropped.total() == torn
    # Each kill may hide a batch that was committed and not yet counted; nothing is ever counted twice.
    counted = ingester.counted("stored") + tally.stored
    assert counted <= len(records) <= counted + kills * MOST_ROWS
    assert ingester.counted("dropped") <= kills
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
