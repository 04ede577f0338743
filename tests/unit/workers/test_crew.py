"""Who is there when workers die while a configuration changes, with workers that are no processes."""

import asyncio
from itertools import count

import pytest

from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.workers.crew import Crew
from llmproxy_grpc.workers.protocol import unseal
from tests.fakes.polling import until


class FakeWorker:
    """Serves as soon as it is told to; ends when a test or its supervisor says so."""

    pids = count(1)

    def __init__(self, begin):
        loop = asyncio.get_running_loop()
        self.number = begin.number
        self.pid = next(self.pids)
        self.config = unseal(begin.config)
        self.serving = loop.create_future()
        self.serving.set_result("offer")
        self.ended = loop.create_future()
        self.dismissed = False
        self.ready = True

    def die(self):
        self.ended.set_result(-9)

    def leave(self):
        self.dismissed = True
        self.ended.set_result(0)

    def kill(self, _why):
        if not self.ended.done():
            self.die()

    async def reload(self, config):
        self.config = unseal(config)

    def found(self):
        return ()


class Restarts:
    """Waits as long as a test wants."""

    alarming = False
    seconds = 0.0

    def delay(self):
        return self.seconds


class Supervised:
    """A crew of two, and every worker that it ever started."""

    def __init__(self):
        self.started = []
        self.hold = None
        self.restarts = Restarts()
        self.config = configured()
        self.crew = Crew(self.config, spawn=self.spawn, restarts=lambda: self.restarts)

    async def spawn(self, begin, _publish):
        worker = FakeWorker(begin)
        if self.hold is not None:
            await self.hold.wait()
        self.started.append(worker)
        return worker

    @property
    def alive(self):
        return [worker for worker in self.started if not worker.ended.done()]

    async def reload(self, config):
        before, self.config = self.config, config
        await self.crew.reload(before, config)


def configured(**grpc):
    return Config.model_validate({"grpc": {"listen": "127.0.0.1:0", "workers": 2, **grpc}})


@pytest.fixture
async def supervised():
    supervised = Supervised()
    await supervised.crew.start()
    yield supervised
    await supervised.crew.aclose()


@pytest.mark.parametrize("replacing", [True, False])
async def test_a_worker_that_waits_for_its_restart_while_a_reload_comes_leaves_nobody_behind(supervised, replacing):
    supervised.restarts.seconds = 0.2
    supervised.crew.workers[0].die()
    await until(lambda: len(supervised.crew.workers) == 1)
    after = configured(reflection=False) if replacing else configured(max_in_flight=7)
    await supervised.reload(after)
    await asyncio.sleep(0.3)
    await until(lambda: len(supervised.crew.workers) == 2)
    assert set(supervised.alive) == set(supervised.crew.workers)
    assert [worker.config for worker in supervised.alive] == [after, after]


@pytest.mark.parametrize("replacing", [True, False])
async def test_a_worker_that_is_being_restarted_when_a_reload_comes_has_the_new_configuration(supervised, replacing):
    supervised.hold = asyncio.Event()
    supervised.crew.workers[0].die()
    await until(lambda: len(supervised.crew.workers) == 1)
    await asyncio.sleep(0.05)
    after = configured(reflection=False) if replacing else configured(max_in_flight=7)
    reload = asyncio.create_task(supervised.reload(after))
    await asyncio.sleep(0.05)
    supervised.hold.set()
    await reload
    await until(lambda: len(supervised.crew.workers) == 2)
    assert set(supervised.alive) == set(supervised.crew.workers)
    assert [worker.config for worker in supervised.alive] == [after, after]
