"""A worker's heartbeat as its supervisor counts it, by a clock of the tests' own and without a process."""

import asyncio

import pytest
from structlog.testing import capture_logs

from bench.simulation import virtual_time
from llmproxy_grpc.banner import Offer
from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.telemetry.cells import Cells
from llmproxy_grpc.workers.crew import Crew
from llmproxy_grpc.workers.places import Places
from llmproxy_grpc.workers.process import WorkerProcess
from llmproxy_grpc.workers.protocol import Beat, Begin, Serving
from llmproxy_grpc.workers.restarts import Restarts


class FakeProcess:
    """Runs until it is killed."""

    pid = 7

    def __init__(self):
        self.returncode = None
        self.gone = asyncio.Event()

    def kill(self):
        self.returncode = -9
        self.gone.set()

    async def wait(self):
        await self.gone.wait()
        return self.returncode


class FakeLink:
    """Brings a beat at each of these times, and ends with its process."""

    def __init__(self, process, beats):
        self._process = process
        self._beats = list(beats)

    def send(self, _message):
        return True

    async def receive(self):
        if self._beats:
            await asyncio.sleep(self._beats.pop(0) - asyncio.get_running_loop().time())
            return Beat(ready=True)
        await self._process.gone.wait()
        return None

    async def aclose(self):
        pass


@pytest.mark.parametrize(
    ("beats", "killed_at"),
    [
        ([], 31),  # it had 30 s for its imports, as long as a busy machine may take
        ([29.5], 35),
        ([0.5], 6),
        ([0.5, 1.5, 2.5, 7.0], 13),
        ([0.5, *(5.9 + 5 * number for number in range(20))], 106),
    ],
)
def test_a_worker_is_killed_for_its_beats_alone(beats, killed_at):
    """Five of them, one a second, may fail to come in a row; the first one has half a minute."""

    async def main():
        loop = asyncio.get_running_loop()
        process = FakeProcess()
        begin = Begin(0, Places(()), b"")
        worker = WorkerProcess(process, FakeLink(process, beats), Cells.shared()[0], begin, lambda *_: None)
        async with asyncio.timeout(10_000):
            assert await worker.ended == -9
        return loop.time()

    with capture_logs() as logged:
        assert virtual_time.run(main()) == pytest.approx(killed_at, abs=1.01)
    assert [(entry["event"], entry["why"]) for entry in logged] == [("worker_killed", "misses its beats")]


class ServingLink(FakeLink):
    """The same of a worker that serves from the start."""

    _told = False

    async def receive(self):
        if not self._told:
            self._told = True
            return Serving(Offer(grpc=["127.0.0.1:1"]))
        return await super().receive()


@pytest.mark.parametrize("hangs_at", [0.5, 2.9, 60.0])
def test_the_successor_of_a_worker_that_hangs_is_started_within_ten_seconds_of_its_last_beat(hangs_at):
    """By a clock of the test's own; how long that one takes to serve is the machine's affair."""

    async def main():
        loop = asyncio.get_running_loop()
        beats = [hangs_at - number for number in range(int(hangs_at), -1, -1)]
        started = []

        async def spawn(begin, publish):
            started.append(loop.time())
            process = FakeProcess()
            link = ServingLink(process, beats if len(started) == 1 else [loop.time() + n for n in range(60)])
            return WorkerProcess(process, link, Cells.shared()[0], begin, publish)

        config = Config.model_validate({"grpc": {"listen": "127.0.0.1:0"}})
        crew = Crew(config, spawn=spawn, restarts=lambda: Restarts(loop.time, lambda: 1.0))
        await crew.start()
        while len(started) < 2:
            await asyncio.sleep(0.1)
        await crew.aclose()
        return started[1]

    with capture_logs() as logged:
        again = virtual_time.run(main())
    assert hangs_at + 5 <= again < hangs_at + 10
    assert [entry["why"] for entry in logged if entry["event"] == "worker_killed"] == [
        "misses its beats",
        "the server ends",
    ]
