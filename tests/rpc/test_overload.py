"""When readiness goes because calls are refused, and what becomes of calls that come too late."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from llmproxy_grpc.calls import ANONYMOUS, Call, Caller, Criticality
from llmproxy_grpc.config.schema import Config, GrpcConfig, SheddingConfig
from llmproxy_grpc.errors import Draining, ProxyOverloaded
from llmproxy_grpc.server.interceptors.admission import Admission
from llmproxy_grpc.server.rpc import Method
from llmproxy_grpc.server.status import rich_status
from llmproxy_grpc.telemetry.pressure import Pressure
from tests.fakes.clock import FakeClock


class Asking:
    """Calls to an admission of so many places; `call.release` lets one end."""

    def __init__(self, limit=1, wait=0):
        self.clock = FakeClock()
        config = Config(grpc=GrpcConfig(max_in_flight=limit), shedding=SheddingConfig(wait=wait))
        self.pressure = Pressure(lag=lambda: (0.0, 0.0), memory=lambda: 0.0, config=lambda: config.shedding)
        self.admission = Admission(lambda: config, self.pressure, self.clock)

    async def begin(self, method="Stream", criticality=Criticality.CRITICAL):
        release = asyncio.Event()

        async def proceed(_rpc):
            await release.wait()

        task = asyncio.create_task(self.admission(_Rpc(method, criticality), proceed))
        task.release = release
        await asyncio.sleep(0)
        return task

    async def refused(self, method="Stream", criticality=Criticality.CRITICAL):
        with pytest.raises(ProxyOverloaded) as raised:
            await (await self.begin(method, criticality))
        assert raised.value.retry_after > 0
        return raised.value

    async def end(self, task):
        task.release.set()
        await task


class _Rpc:
    def __init__(self, method, criticality):
        self.method = Method(method, None)
        self.call = self
        self.caller = Caller(criticality=criticality)


async def test_refusals_that_last_are_an_overload():
    asking = Asking()
    running = await asking.begin()
    await asking.refused()
    assert not asking.admission.overloaded()
    asking.clock.advance(9.9)
    await asking.refused()
    assert not asking.admission.overloaded()
    asking.clock.advance(0.2)
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
    asking.clock.advance(11)
    await asking.refused()
    await asking.end(running)
    asking.clock.advance(4.9)
    assert asking.admission.overloaded()
    asking.clock.advance(0.2)
    assert not asking.admission.overloaded()


async def test_a_refusal_now_and_then_is_no_overload():
    asking = Asking()
    for _ in range(5):
        running = await asking.begin()
        await asking.refused()
        await asking.end(running)
        asking.clock.advance(6)
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


async def test_a_call_waits_a_moment_for_one_to_end():
    asking = Asking(wait=5.0)
    running = await asking.begin()
    waiting = await asking.begin()
    assert not waiting.done()
    await asking.end(running)
    await asking.end(waiting)
    assert asking.admission.in_flight == {"Stream": 0}
    assert not asking.admission.overloaded()


async def test_a_wait_in_vain_is_a_refusal():
    asking = Asking(wait=0.01)
    running = await asking.begin()
    await asking.refused()
    await asking.end(running)


async def test_a_drain_ends_what_waits_as_well():
    asking = Asking(wait=5.0)
    running = await asking.begin()
    waiting = await asking.begin()
    asking.admission.evict()
    for task in (running, waiting):
        with pytest.raises(Draining):
            await task
    await asking.admission.empty()


async def test_under_pressure_the_less_critical_are_refused_and_health_never_is():
    asking = Asking()
    asking.pressure.least, asking.pressure.cause = Criticality.CRITICAL, "loop_lag"
    for method in ("Chat", "Stream", "Embed", "CountTokens", "ListModels"):
        error = await asking.refused(method, Criticality.SHEDDABLE_PLUS)
        assert error.metadata == {"cause": "loop_lag", "method": method}
        await asking.end(await asking.begin(method))
    asking.pressure.least, asking.pressure.cause = Criticality.CRITICAL_PLUS + 1, "memory"
    await asking.refused("Chat", Criticality.CRITICAL_PLUS)
    await asking.end(await asking.begin("Health", Criticality.SHEDDABLE))


async def test_pressure_that_lasts_is_an_overload():
    asking = Asking(limit=5)
    asking.pressure.least = Criticality.CRITICAL_PLUS + 1
    for _ in range(12):
        await asking.refused()
        asking.clock.advance(1)
    asking.clock.advance(3.9)
    assert asking.admission.overloaded()
    asking.clock.advance(0.2)
    assert not asking.admission.overloaded()


async def test_chat_and_stream_have_slots_of_their_own_and_what_is_not_limited_has_no_end_of_them():
    asking = Asking(limit=1)
    running = [await asking.begin(method) for method in ("Chat", "Stream", *["ListModels"] * 50)]
    await asking.refused("Chat")
    for task in running:
        await asking.end(task)


async def test_a_refusal_costs_a_millisecond_of_cpu_at_most():
    asking = Asking()
    running = await asking.begin()
    before, times = time.thread_time(), 200
    for _ in range(times):
        error = await asking.refused()
        rich_status(error, _call())
    assert (time.thread_time() - before) / times < 0.001 * 10
    await asking.end(running)


def _call():
    return Call("id", "Chat", "id", ANONYMOUS, datetime.now(UTC), 0.0, 0.0)
