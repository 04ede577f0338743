"""What becomes of upstream connections when calls end, well or badly."""

import asyncio
import time
from typing import Any

import grpc
import pytest

from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Framing, Request, openai_stream
from tests.fakes.requests import failure
from tests.rpc.conftest import Serving, asking
from tests.rpc.faults.exchange import (
    SOON,
    Code,
    called,
    gone,
    nothing_in_flight,
    proxying,
    read_failure,
    said,
    well,
)


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
async def test_a_kept_connection_that_closes_on_its_next_use_is_replaced_unseen(serve, upstream, method, end):
    async with proxying(serve, upstream) as server:
        upstream.handler = lambda _request: well("Hello", method)
        upstream.close_on_reuse = end
        connections = upstream.connections
        answer = await said(called(server, method))
        assert answer.text == "Hello"
        assert not answer.route.failed_attempts
        assert upstream.connections == connections + 1
        assert len(upstream.requests) == 2


async def test_calls_one_after_the_other_share_a_connection(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        upstream.handler = lambda _request: well("Hello", method)
        for _ in range(20):
            await said(called(server, method))
        assert upstream.connections == 1


async def test_no_connection_is_left_behind_300_cancelled_streams(serve, upstream):
    async with proxying(serve, upstream) as server:
        role, text, *_ = openai_stream("Hello")
        upstream.handler = lambda _request: Answer.stream([role, text, Do.STALL])
        for _ in range(3):
            calls = [called(server, "Stream") for _ in range(100)]
            for call in calls:
                await call.read()
            for call in calls:
                call.cancel()
            async with asyncio.timeout(SOON * 3):
                await asyncio.gather(*(request.closed.wait() for request in upstream.requests))
        assert len(upstream.requests) == 300
        assert upstream.open_connections == 0
        await nothing_in_flight(server)
        upstream.handler = lambda _request: well("Hello", "Stream")
        assert (await said(called(server, "Stream"))).text == "Hello"


def halted(phase: str, method: str) -> Answer:
    """An answer that goes silent in a phase."""
    body = [step for step in well("Hello, you there", method).body if isinstance(step, bytes)]
    head = {"headers": well("", method).headers, "framing": Framing.CHUNKED}
    match phase:
        case "waiting for headers":
            return Answer(before_head=[Do.STALL])
        case "before the body":
            return Answer(**head, body=[Do.STALL])
        case "in the body":
            half = body[1][:40] if method == "Stream" else body[0][:40]
            return Answer(**head, body=[half, Do.STALL])
        case _:
            return Answer(**head, body=[*body[:2], Do.STALL])


PHASES = [
    *((phase, "Chat") for phase in ("waiting for headers", "before the body", "in the body")),
    *((phase, "Stream") for phase in ("waiting for headers", "before the body", "in the body", "between events")),
]


async def halt(server: Serving, upstream: FaultyUpstream, phase: str, call: Any) -> Request:
    """Waits until a call has come to its phase."""
    request = await upstream.arrived()
    if phase == "between events":
        await call.read()
    else:
        await asyncio.sleep(0.03)  # what was written has been read
    assert not request.closed.is_set()
    return request


@pytest.mark.parametrize(("phase", "method"), PHASES)
async def test_a_cancelled_call_closes_its_connection(serve, upstream, record_property, phase, method):
    async with proxying(serve, upstream) as server:
        upstream.script(halted(phase, method))
        call = called(server, method)
        request = await halt(server, upstream, phase, call)
        call.cancel()
        record_property("milliseconds", round(await gone(request) * 1000, 2))
        await nothing_in_flight(server)


@pytest.mark.parametrize(("phase", "method"), PHASES)
async def test_a_deadline_holds_and_closes_the_connection(serve, upstream, phase, method):
    async with proxying(serve, upstream) as server:
        upstream.script(halted(phase, method))
        began = time.perf_counter()
        call = called(server, method, timeout=1.5)
        request = await halt(server, upstream, phase, call)
        error = await (read_failure(call) if phase == "between events" else failure(call))
        assert time.perf_counter() - began < 1.5 + SOON
        assert (error.code, error.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        assert error.detail.output_started is (phase == "between events")
        await gone(request)
        await nothing_in_flight(server)


@pytest.mark.parametrize("ends", ["cancelled", "late"])
async def test_a_call_that_ends_while_connecting_closes_its_connection(serve, method, ends):
    closed = asyncio.Event()
    connected = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        while await reader.read(4096):  # a greeting that is never answered
            pass
        closed.set()
        writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    async with serve(asking(url, timeouts={"connect": 20}, health={"timeout": 0.2})) as server:
        closed.clear()
        connected.clear()
        call = called(server, method, timeout=0.6 if ends == "late" else 20)
        async with asyncio.timeout(SOON):
            await connected.wait()
        if ends == "cancelled":
            call.cancel()
        else:
            assert (await failure(call)).reason == "DEADLINE_EXCEEDED"
        async with asyncio.timeout(SOON):
            await closed.wait()
        await nothing_in_flight(server)
    listener.close()
    await listener.wait_closed()


async def test_a_deadline_too_short_for_anything_leaves_nothing_behind(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        upstream.handler = lambda _request: Answer(before_head=[Do.STALL])
        for _ in range(20):
            began = time.perf_counter()
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await said(called(server, method, timeout=0.0005))
            assert raised.value.code() is Code.DEADLINE_EXCEEDED
            assert time.perf_counter() - began < SOON
        await nothing_in_flight(server)
        assert len(upstream.requests) <= 20
        for request in upstream.requests:
            await gone(request)


async def test_a_caller_that_does_not_read_keeps_no_connection(serve, upstream):
    async with proxying(serve, upstream, timeouts={"write": 0.2}) as server:
        flood = openai_stream(["x" * 100_000] * 300)
        upstream.script(Answer.stream([*flood[:-3], Do.STALL]))
        call = called(server, "Stream")
        await call.read()
        async with asyncio.timeout(5):
            await upstream.requests[0].closed.wait()
        assert (await read_failure(call)).reason == "SLOW_CONSUMER"
