"""When readiness goes because calls are refused, and what becomes of calls that come too late."""

import asyncio

import pytest

from llmproxy_grpc.errors import Draining, ProxyOverloaded
from llmproxy_grpc.server.interceptors.admission import OVERLOADED_AFTER, QUIET, Admission
from llmproxy_grpc.server.rpc import Method
from tests.fakes.clock import FakeClock


class Asking:
    """Calls to an admission of so many places; `call.release` lets one end."""

    def __init__(self, limit=1):
        self.clock = FakeClock()
        self.admission = Admission(lambda: limit, self.clock)

    async def begin(self, method="Stream"):
        release = asyncio.Event()

        async def proceed(_rpc):
            await release.wait()

        task = asyncio.create_task(self.admission(_Rpc(method), proceed))
        task.release = release
        await asyncio.sleep(0)
        return task

    async def refused(self, method="Stream"):
        with pytest.raises(ProxyOverloaded):
            await (await self.begin(method))

    async def end(self, task):
        task.release.set()
        await task


class _Rpc:
    def __init__(self, method):
        self.method = Method(method, None)
        self.call = None


async def test_refusals_that_last_are_an_overload():
    asking = Asking()
    running = await asking.begin()
    await asking.refused()
    assert not asking.admission.overloaded()
    asking.clock.advance(OVERLOADED_AFTER + 1)
    await asking.refused()
    assert asking.admission.overloaded()
    await asking.end(running)


async def test_other_methods_that_go_on_do_not_hide_an_overload():
    asking = Asking()
    running = await asking.begin()
    for _ in range(12):
        await asking.refused()
        await asking.end(await asking.begin("Chat"))
        asking.clock.advance(1)
    assert asking.admission.overloaded()
    await asking.end(running)


async def test_calls_that_end_while_others_are_refused_do_not_hide_an_overload():
    asking = Asking()
    for _ in range(12):
        running = await asking.begin()
        await asking.refused()
        await asking.end(running)
        asking.clock.advance(1)
    assert asking.admission.overloaded()


async def test_an_overload_is_over_when_there_is_room_and_nobody_was_refused_for_a_while():
    asking = Asking()
    running = await asking.begin()
    await asking.refused()
    asking.clock.advance(OVERLOADED_AFTER + 1)
    await asking.refused()
    await asking.end(running)
    assert asking.admission.overloaded()
    asking.clock.advance(QUIET + 1)
    assert not asking.admission.overloaded()


async def test_a_refusal_now_and_then_is_no_overload():
    asking = Asking()
    for _ in range(5):
        running = await asking.begin()
        await asking.refused()
        await asking.end(running)
        asking.clock.advance(QUIET + 1)
    assert not asking.admission.overloaded()


async def test_a_call_that_comes_behind_the_eviction_is_drained_as_well():
    asking = Asking(limit=5)
    running = await asking.begin()
    assert asking.admission.evict() == 1
    with pytest.raises(Draining):
        await running
    with pytest.raises(Draining):
        await (await asking.begin())
    await asking.admission.empty()
    assert asking.admission.in_flight["Stream"] == 0
