"""What goes along with a call: its trace, and how many proxies it has passed."""

import pytest

from llmproxy_grpc.calls import current_call
from llmproxy_grpc.server.interceptors.onward import MOST_HOPS
from tests.fakes.requests import chat_request, failure, stream_request
from tests.fakes.scripted_provider import answer

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def seen(serve, *metadata):
    """The call, as a provider sees it in the task that asks it."""
    calls = []

    async def look():
        calls.append(current_call.get())

    async with serve() as server:
        server.scripted.chats.append(look)
        server.scripted.streams.append([look, *answer()])
        await server.stub.Chat(chat_request(), metadata=metadata)
        async for _ in server.stub.Stream(stream_request(heartbeat={"seconds": 30}), metadata=metadata):
            pass
    unary, stream = calls
    assert unary.id != stream.id
    assert current_call.get() is None
    assert (unary.hops, unary.trace, unary.request_id) == (stream.hops, stream.trace, stream.request_id)
    return unary


async def test_a_provider_finds_the_call_that_it_serves(serve):
    call = await seen(serve, ("x-request-id", "r1"), ("traceparent", TRACE), ("tracestate", "a=b, c=d"))
    assert call.request_id == "r1"
    assert call.trace == (("traceparent", TRACE), ("tracestate", "a=b, c=d"))
    assert call.hops == 0
    assert call.deadline_at > call.started_at


@pytest.mark.parametrize("odd", ["", "zz", "00-0af7-b7-01", "00-" + "0" * 600])
async def test_a_trace_that_is_none_goes_nowhere(serve, odd):
    call = await seen(serve, ("traceparent", odd), ("tracestate", "a=b"), ("x-request-id", "r"))
    assert call.trace == ()


async def test_the_state_of_no_trace_goes_nowhere(serve):
    assert (await seen(serve, ("tracestate", "a=b"), ("x-request-id", "r"))).trace == ()


@pytest.mark.parametrize(("told", "hops"), [("0", 0), ("1", 1), (str(MOST_HOPS), MOST_HOPS), ("-1", 0), ("x", 0)])
async def test_a_call_may_have_passed_a_few_proxies(serve, told, hops):
    assert (await seen(serve, ("llmproxy-hops", told), ("x-request-id", "r"))).hops == hops


@pytest.mark.parametrize("told", [str(MOST_HOPS + 1), "9999"])
async def test_a_call_that_goes_in_circles_is_refused(serve, told):
    async with serve() as server:
        error = await failure(server.stub.Chat(chat_request(), metadata=(("llmproxy-hops", told),)))
        assert server.scripted.requests == []
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "LOOP_DETECTED")
    assert error.info.metadata["hops"] == told
    assert error.pushback is None
    assert not error.detail.retryable
