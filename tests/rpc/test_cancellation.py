import asyncio
import time

import grpc
import pytest

from llmproxy_grpc._gen.v1 import health_pb2
from tests.fakes.polling import until
from tests.fakes.requests import broken_off, chat_request, failure, stream_request
from tests.fakes.scripted_provider import answer, never

SOON = 0.1 * 10  # the promise is 100 ms; tests assert ten times the figure


async def cancelled(server, times: int = 1) -> None:
    await until(lambda: server.scripted.cancelled == times, within=SOON)


async def test_cancelling_chat_cancels_the_provider(serve):
    async with serve() as server:
        server.scripted.chats.append(never)
        call = server.stub.Chat(chat_request())
        await until(lambda: server.scripted.requests)
        call.cancel()
        await cancelled(server)


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
async def test_cancelling_a_stream_cancels_the_provider_in_every_phase(serve, steps):
    async with serve() as server:
        server.scripted.streams.append([*answer()[:steps], never])
        call = server.stub.Stream(stream_request())
        await until(lambda: server.scripted.requests)
        for _ in range(steps):
            if steps > 1:
                await call.read()
        call.cancel()
        await cancelled(server)


async def test_a_closed_channel_cancels_the_provider(serve):
    async with serve() as server:
        server.scripted.chats.append(never)
        channel = grpc.aio.insecure_channel(server.address)
        call = channel.unary_unary("/llmproxy.v1.LlmProxyService/Chat")(chat_request().SerializeToString())
        await until(lambda: server.scripted.requests)
        await channel.close()
        await cancelled(server)
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_the_callers_deadline_is_answered_richly_before_it_fires(serve):
    async with serve() as server:
        server.scripted.chats.append(never)
        error = await failure(server.stub.Chat(chat_request(), timeout=1.5))
        assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        assert [attempt.reason for attempt in error.detail.attempts] == [29]
        assert error.detail.partial_usage.input_tokens > 0
        await cancelled(server)


async def test_the_proxys_cap_holds_without_a_deadline(serve):
    async with serve({"timeouts": {"unary": 0.1, "stream": 0.1}}) as server:
        server.scripted.chats.append(never)
        server.scripted.streams.append([*answer()[:2], never])
        began = time.monotonic()
        for call in (server.stub.Chat(chat_request()), server.stub.Stream(stream_request())):
            error = await failure(call)
            assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
            assert len(error.detail.attempts) == 1
        assert 0.1 <= time.monotonic() - began < SOON * 2
        await cancelled(server, 2)


async def test_an_inband_error_tells_of_the_deadline_as_well(serve):
    async with serve({"timeouts": {"stream": 0.1}}) as server:
        server.scripted.streams.append([*answer()[:2], never])
        events, error = await broken_off(server.stub.Stream(stream_request(inband_error=True)))
        assert events[-1].error.detail == error.detail
        assert error.reason == "DEADLINE_EXCEEDED"


async def test_nothing_is_left_in_flight_after_a_storm_of_cancels(serve):
    async with serve() as server:
        for _ in range(100):
            server.scripted.streams.append([*answer()[:2], never])
        calls = [server.stub.Stream(stream_request()) for _ in range(100)]
        for call in calls:
            await call.read()
        for call in calls:
            call.cancel()
        await cancelled(server, 100)
        health = await server.stub.Health(health_pb2.HealthRequest())
        assert health.load.active_streams == 0
        assert health.providers[0].in_flight == 0
