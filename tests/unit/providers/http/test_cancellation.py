import asyncio

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError, UpstreamStreamBroken, UpstreamUnreachable
from llmproxy_grpc.providers.http import HttpClient
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream
from tests.fakes.relay import Relay
from tests.unit.providers.http.exchange import HEADERS, SOON, ask, being_sent, gone


@pytest.mark.parametrize(
    "answer",
    [
        Answer(before_head=[Do.STALL]),
        Answer(body=[Do.STALL], length=100),
        Answer.stream([b"one", Do.STALL]),
        Answer(body=[b"half", Do.STALL], length=100),
    ],
    ids=["before the head", "before the body", "in a stream", "in a body"],
)
async def test_cancelling_closes_the_connection_at_once(client, upstream, answer):
    upstream.script(answer)
    task = asyncio.create_task(ask(client, upstream.url))
    await upstream.arrived()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(upstream)
    assert client._connector._acquired == set()


async def test_cancelling_a_request_still_being_sent_closes_at_once():
    client = HttpClient(connect_timeout=2)
    async with FaultyUpstream() as upstream, Relay(upstream.port) as relay:
        relay.hold()
        task = asyncio.create_task(ask(client, f"http://127.0.0.1:{relay.port}", body=bytes(32 * 1024 * 1024)))
        client_side = await being_sent(client)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert client_side.get_write_buffer_size() == 0
    await client.aclose()


async def test_cancelling_while_connecting_leaves_nothing_open():
    client = HttpClient(connect_timeout=2)
    async with FaultyUpstream() as upstream, Relay(upstream.port) as relay:
        relay.hold()
        task = asyncio.create_task(ask(client, f"https://127.0.0.1:{relay.port}"))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client._connector._acquired == set()
    await client.aclose()


async def test_after_many_cancelled_calls_every_place_of_the_pool_is_free(upstream):
    client = HttpClient(connect_timeout=2, max_connections=8)
    upstream.handler = lambda _: Answer(before_head=[Do.STALL])
    for _ in range(20):
        tasks = [asyncio.create_task(ask(client, upstream.url)) for _ in range(16)]
        await asyncio.sleep(0.002)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    upstream.handler = None
    answers = await asyncio.gather(*(ask(client, upstream.url) for _ in range(16)))
    assert len(answers) == 16
    await client.aclose()


async def test_closing_the_client_breaks_what_is_still_read(upstream):
    client = HttpClient(connect_timeout=2)
    upstream.script(Answer.stream([b"one", Do.STALL]))
    async with client.request("POST", upstream.url, headers=HEADERS) as response:
        assert await response.chunk() == b"one"
        await client.aclose()
        with pytest.raises(UpstreamStreamBroken):
            await response.chunk()
    await gone(upstream)
    with pytest.raises(UpstreamUnreachable):
        await ask(client, upstream.url)
    await client.aclose()


@pytest.mark.parametrize("answer", [Answer(before_head=[Do.STALL]), Answer.stream([b"one", Do.STALL])])
async def test_closing_the_client_wakes_whoever_waits_for_an_answer(upstream, answer):
    client = HttpClient(connect_timeout=2)
    upstream.script(answer)
    task = asyncio.create_task(ask(client, upstream.url))
    await upstream.arrived()
    await asyncio.sleep(0.01)
    await client.aclose()
    async with asyncio.timeout(SOON):
        with pytest.raises((UpstreamStreamBroken, UpstreamProtocolError, UpstreamUnreachable)):
            await task
