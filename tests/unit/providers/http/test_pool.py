import asyncio

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError, UpstreamUnreachable
from llmproxy_grpc.providers.http import HttpClient
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, openai_stream
from tests.fakes.polling import until
from tests.fakes.relay import Relay, Way
from tests.unit.providers.http.exchange import HEADERS, ask, being_sent, chunks, gone


async def test_an_answer_read_to_its_end_gives_its_connection_back(client, upstream):
    upstream.default = Answer.stream(openai_stream("Hello"))
    for _ in range(3):
        async with client.request("POST", upstream.url, headers=HEADERS) as response:
            await chunks(response)
    assert upstream.connections == 1


async def test_an_answer_whose_end_came_unread_with_its_last_piece_gives_it_back_too(client, upstream):
    piece = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    upstream.default = Answer(raw=[piece])
    for _ in range(2):
        async with client.request("POST", upstream.url, headers=HEADERS) as response:
            assert await response.chunk() == b"abc"
    assert upstream.connections == 1


async def test_an_answer_left_unread_closes_its_connection_at_once(client, upstream):
    upstream.script(Answer.stream([b"one", Do.STALL]))
    async with client.request("POST", upstream.url, headers=HEADERS) as response:
        assert await response.chunk() == b"one"
    await gone(upstream)


async def test_a_connection_that_the_provider_ends_is_not_used_again(client, upstream):
    upstream.script(Answer.json(b"{}", headers={"connection": "close"}))
    await ask(client, upstream.url)
    await ask(client, upstream.url)
    assert upstream.connections == 2


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_reused_connection_that_closes_without_a_byte_is_repeated_once_on_a_fresh_one(
    client, upstream, end, method
):
    upstream.close_on_reuse = end
    await ask(client, upstream.url, method=method)
    answer = await ask(client, upstream.url, body=b"[2]", method=method)
    assert answer.startswith(b"{")
    assert [request.body for request in upstream.requests] == [b"{}", b"[2]", b"[2]"]
    assert [request.connection for request in upstream.requests] == [1, 1, 2]


async def test_the_repetition_is_never_repeated(client, upstream):
    await ask(client, upstream.url)
    upstream.script(Answer(before_head=[Do.EOF]), Answer(before_head=[Do.EOF]))
    with pytest.raises(UpstreamProtocolError):
        await ask(client, upstream.url)
    assert [request.connection for request in upstream.requests] == [1, 1, 2]


async def test_the_repetition_takes_no_other_idle_connection(client, upstream):
    upstream.script(Answer(before_head=[Do.STALL]), Answer(before_head=[Do.STALL]))
    upstream.close_on_reuse = Do.EOF
    both = asyncio.gather(ask(client, upstream.url), ask(client, upstream.url))
    await upstream.arrived(2)
    upstream.release()
    await both
    await ask(client, upstream.url)
    used = [request.connection for request in upstream.requests]
    assert set(used[:2]) == {1, 2}
    assert used[2] in (1, 2)
    assert used[3] == 3


async def test_an_answer_that_began_is_never_repeated(client, upstream):
    await ask(client, upstream.url)
    upstream.script(Answer(raw=[b"HTTP/1.1 200 OK\r\ncontent-", 0.01, Do.EOF]))
    with pytest.raises(UpstreamProtocolError):
        await ask(client, upstream.url)
    assert len(upstream.requests) == 2


async def test_bytes_that_nobody_asked_for_never_answer_the_next_request(client, upstream):
    unasked = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong"
    upstream.script(Answer(body=[b"right"], after=[0.005, unasked]))
    assert await ask(client, upstream.url) == b"right"
    (((idle, _),),) = client._connector._conns.values()
    await until(lambda: idle.should_close)  # they have come
    upstream.script(Answer(body=[b"right"]))
    assert await ask(client, upstream.url) == b"right"
    assert upstream.connections == 2


async def test_an_early_answer_to_a_body_still_being_sent_leaves_no_half_request_behind(client):
    async with FaultyUpstream() as upstream, Relay(upstream.port) as relay:
        url = f"http://127.0.0.1:{relay.port}"
        await ask(client, url)
        relay.hold(Way.TO_SERVER)
        task = asyncio.create_task(ask(client, url, body=bytes(32 * 1024 * 1024)))
        await being_sent(client)
        (connection,) = upstream._open
        connection._transport.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
        assert await task == b"{}"
        relay.resume()
        assert (await ask(client, url)).startswith(b"{")
        assert upstream.connections == 2


async def test_max_connections_makes_calls_wait_for_their_turn_and_time_out_unreachable(upstream):
    client = HttpClient(connect_timeout=0.5, max_connections=1)
    upstream.script(Answer(before_head=[Do.STALL]))
    first = asyncio.create_task(ask(client, upstream.url))
    await upstream.arrived()
    with pytest.raises(UpstreamUnreachable):
        await ask(client, upstream.url)
    upstream.release()
    await first
    await ask(client, upstream.url)
    assert upstream.connections == 1
    await client.aclose()
