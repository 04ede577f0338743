import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.errors import UpstreamServerError
from llmproxy_grpc.health.monitor import JITTER, QUIET, Monitor
from tests.fakes.clock import FakeClock

INTERVAL = 30.0


class Watched:
    """Providers that a monitor looks after, in time that a test moves."""

    def __init__(self, *names, chance=0.5):
        self.clock = FakeClock()
        self.names = list(names)
        self.traffic = {}
        self.interval = INTERVAL
        self.probed = []
        self.monitor = Monitor(
            providers=lambda: self.names,
            last_traffic=self.traffic.get,
            probe=self._probe,
            interval=lambda: self.interval,
            clock=self.clock,
            chance=lambda: chance,
            sleep=self._sleep,
        )
        self.outcomes = {}
        self.left = 0

    def after(self, seconds, step=0.5):
        """What becomes due within so many seconds, with its time."""
        found = []
        for _ in range(round(seconds / step)):
            found += [(self.clock(), name) for name in self.monitor.due()]
            self.clock.advance(step)
        return found

    async def _probe(self, names):
        self.probed += names
        outcome = self.outcomes.get(names[0])
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            await outcome()

    async def _sleep(self, seconds):
        if self.left == 0:
            await asyncio.Event().wait()
        self.left -= 1
        self.clock.advance(seconds)
        await asyncio.sleep(0)


async def run(watched, looks):
    watched.left = looks
    task = asyncio.create_task(watched.monitor.run())
    for _ in range(looks * 3):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


def test_a_provider_without_traffic_is_probed_once_an_interval():
    watched = Watched("a")
    times = [time for time, _ in watched.after(301)]
    assert len(times) == 10
    assert all(late - early == pytest.approx(INTERVAL, abs=1) for early, late in pairwise(times))


def test_nobody_is_probed_at_the_start_when_every_replica_starts():
    assert Watched("a").after(INTERVAL * (1 - JITTER) - 1) == []


def test_traffic_takes_the_place_of_probes_for_a_minute():
    watched = Watched("a")
    watched.traffic["a"] = begin = watched.clock()
    times = [time for time, _ in watched.after(200)]
    assert times[0] - begin >= QUIET
    assert len(times) == 5


def test_each_provider_is_looked_at_by_itself():
    watched = Watched("a", "b")
    watched.traffic["a"] = watched.clock()
    assert {name for _, name in watched.after(45)} == {"b"}


def test_a_shorter_interval_counts_at_once_and_new_providers_wait_for_theirs():
    watched = Watched("a")
    watched.interval = 3600.0
    assert watched.after(60) == []
    watched.interval = INTERVAL
    watched.names.append("b")
    found = watched.after(INTERVAL * (1 + JITTER) + 1)
    assert [name for _, name in found] == ["a", "b"]


def test_a_provider_that_is_gone_is_no_longer_probed():
    watched = Watched("a")
    watched.monitor.due()
    watched.names.clear()
    assert watched.after(100) == []


@given(chances=st.lists(st.floats(0, 1), min_size=20, max_size=20))
def test_the_jitter_stays_within_a_fifth(chances):
    watched = Watched("a")
    left = iter(chances * 50)
    watched.monitor._chance = lambda: next(left)
    times = [watched.clock(), *(time for time, _ in watched.after(600, step=0.25))]
    assert len(times) > 15
    for early, late in pairwise(times):
        assert INTERVAL * (1 - JITTER) - 0.5 <= late - early <= INTERVAL * (1 + JITTER) + 0.5


async def test_a_probe_that_hangs_holds_up_no_other_and_is_not_begun_twice():
    watched = Watched("a", "b")
    watched.outcomes["a"] = asyncio.Event().wait
    await run(watched, 100)
    assert watched.probed.count("a") == 1
    assert watched.probed.count("b") == 3


async def test_a_kind_that_raises_ends_no_probe_but_its_own():
    watched = Watched("a", "b")
    watched.outcomes["a"] = RuntimeError("a bug")
    watched.outcomes["b"] = UpstreamServerError("It failed.")
    await run(watched, 100)
    assert watched.probed.count("a") == watched.probed.count("b") == 3
