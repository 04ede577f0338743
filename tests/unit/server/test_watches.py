import asyncio
from contextlib import aclosing

import pytest

from bench.simulation.virtual_time import run
from llmproxy_grpc.server.watches import LATEST, SOONEST, Watches
from tests.fakes.polling import until

WITHIN = 0.25 * 10  # a change is told within 250 ms; tests assert ten times the figure


class Names:
    """Statuses by name, and how often each was looked at."""

    def __init__(self, **statuses):
        self.statuses = statuses
        self.looks = 0
        self.watches = Watches(self._status)
        self.told = {}
        self.tasks = []

    def _status(self, name):
        self.looks += 1
        return self.statuses.get(name)

    def watch(self, name):
        told = []
        self.tasks.append(asyncio.create_task(self._read(name, told)))
        return told

    async def _read(self, name, told):
        async with aclosing(self.watches.statuses(name)) as statuses:
            async for status in statuses:
                told.append(status)

    async def leave(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


async def test_a_change_that_is_told_reaches_every_watch_of_the_name_by_one_look():
    names = Names(a=1, b=1)
    told = [names.watch("a") for _ in range(100)]
    other = names.watch("b")
    await until(lambda: all(told) and other)
    before = names.looks
    names.statuses["a"] = 2
    names.watches.changed()
    await until(lambda: all(each == [1, 2] for each in told), within=WITHIN)
    assert names.looks - before <= 2 * (1 + WITHIN / SOONEST)
    assert other == [1]
    await names.leave()


async def test_what_nobody_tells_is_found_all_the_same():
    names = Names(a=1)
    told = names.watch("a")
    await until(lambda: told)
    names.statuses["a"] = 2
    await until(lambda: told == [1, 2], within=WITHIN)
    await names.leave()


@pytest.mark.parametrize("after", [0.0, 0.03, 0.1, 0.17, 0.19, 0.35])
@pytest.mark.parametrize(("tells", "within"), [(True, 0.06), (False, 0.25)])
def test_a_change_reaches_its_watch_within_a_quarter_of_a_second_and_at_once_if_it_is_told(after, tells, within):
    """In virtual time: the figure itself, whatever the machine does; `after` is when it changes."""

    async def wait() -> float:
        names = Names(**{f"n{number}": 1 for number in range(400)})
        for name in names.statuses:
            told = names.watch(name)
        await asyncio.sleep(after)
        names.statuses[name] = 2
        if tells:
            names.watches.changed()
        loop = asyncio.get_running_loop()
        began = loop.time()
        while told != [1, 2]:
            await asyncio.sleep(0.001)
        await names.leave()
        return loop.time() - began

    assert run(wait()) <= within


async def test_many_changes_at_once_are_few_looks():
    names = Names(a=0)
    told = names.watch("a")
    await until(lambda: told)
    before = names.looks
    for number in range(1000):
        names.statuses["a"] = number
        names.watches.changed()
    await until(lambda: told[-1] == 999, within=WITHIN)
    assert names.looks - before < 2 + WITHIN / SOONEST
    await names.leave()


async def test_a_slow_reader_gets_the_latest_and_one_that_comes_later_what_is_now():
    names = Names(a=1)
    async with aclosing(names.watches.statuses("a")) as statuses:
        assert await anext(statuses) == 1
        for number in (2, 3):
            names.statuses["a"] = number
            later = names.watch("a")
            await until(later.copy)
            assert later == [number]
        assert await anext(statuses) == 3
    await names.leave()


async def test_nothing_is_left_when_the_last_watch_goes():
    names = Names(a=1)
    told = names.watch("a")
    await until(lambda: told)
    assert names.watches.open == 1
    await names.leave()
    assert names.watches.open == 0
    assert names.watches._timer is None
    looked = names.looks
    names.watches.changed()
    await asyncio.sleep(LATEST * 2)
    assert names.looks == looked


async def test_closing_tells_the_last_status_and_ends_every_watch_also_later_ones():
    names = Names(a=1, b=1)
    first, other = names.watch("a"), names.watch("b")
    await until(lambda: first and other)
    names.statuses["a"] = 2
    names.watches.close()
    await asyncio.wait_for(asyncio.gather(*names.tasks), WITHIN)
    assert (first, other) == ([1, 2], [1])
    late = names.watch("a")
    await asyncio.wait_for(names.tasks[-1], WITHIN)
    assert late == [2]
