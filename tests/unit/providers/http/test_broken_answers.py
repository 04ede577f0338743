import asyncio

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError, UpstreamStreamBroken
from tests.fakes.faulty_upstream import Answer, Do, Framing, openai_stream
from tests.unit.providers.http.exchange import HEADERS, ask, gone, take

GARBAGE = [
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nbad header line\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
]

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNKS_THAT_ARE_NONE = [
    b"xyz\r\n",
    b"-3\r\nabc\r\n",
    b"0x3\r\nabc\r\n",
    b"\r\nabc\r\n",
    b"3\r\nabcd\r\n",
    b"3\r\nabc4\r\nabcd\r\n",
    b"1" + b"0" * 16 + b"\r\nabc\r\n",
    b"9" * 5000 + b"\r\nabc\r\n",
    b"\x00\xff\r\n",
]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_in_place_of_an_answer_is_a_protocol_error(client, upstream, garbage):
    upstream.script(Answer(raw=[garbage, Do.STALL]))
    with pytest.raises(UpstreamProtocolError):
        await ask(client, upstream.url)
    await gone(upstream)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("chop", [0, 1], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("broken", CHUNKS_THAT_ARE_NONE, ids=lambda chunk: repr(chunk[:20]))
async def test_a_chunk_that_is_none_is_a_protocol_error_at_once(client, upstream, broken, chop):
    whole = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in openai_stream(["Hel", "lo"])]
    for place in range(len(whole) + 1):
        upstream.script(Answer(raw=[CHUNKED, *whole[:place], 0.01, broken, Do.STALL], chop=chop))
        async with asyncio.timeout(5), client.request("POST", upstream.url, headers=HEADERS) as response:
            received: list[bytes] = []
            with pytest.raises(UpstreamProtocolError, match="not valid HTTP") as caught:
                await take(response, received)
        assert b"".join(received).startswith(b"".join(openai_stream(["Hel", "lo"])[:place]))
        assert caught.value.fault.http_status == 200
        await gone(upstream, -1)


async def test_a_chunk_that_is_none_is_an_error_in_a_body_read_whole(client, upstream):
    for broken in CHUNKS_THAT_ARE_NONE:
        upstream.script(Answer(raw=[CHUNKED, b"3\r\nabc\r\n", 0.01, broken, Do.STALL]))
        async with asyncio.timeout(5):
            with pytest.raises(UpstreamProtocolError):
                await ask(client, upstream.url)


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
@pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.LENGTH])
async def test_what_came_before_a_break_is_given_before_the_error(client, upstream, end, framing):
    pieces = openai_stream(["Hel", "lo"])
    upstream.script(Answer(body=[pieces[0], pieces[1], 0.01, end], framing=framing, length=9999))
    async with client.request("POST", upstream.url, headers=HEADERS) as response:
        received: list[bytes] = []
        with pytest.raises(UpstreamStreamBroken) as caught:
            await take(response, received)
    assert b"".join(received) == pieces[0] + pieces[1]
    assert caught.value.fault.http_status == 200


async def test_what_came_together_with_the_break_is_not_lost(client, upstream):
    upstream.script(Answer(body=[b"abc", Do.STALL, b"def", Do.EOF], framing=Framing.CHUNKED))
    async with client.request("POST", upstream.url, headers=HEADERS) as response:
        assert await response.chunk() == b"abc"
        upstream.release()
        await upstream.requests[0].closed.wait()
        await asyncio.sleep(0.01)
        assert await response.chunk() == b"def"
        with pytest.raises(UpstreamStreamBroken):
            await response.chunk()


async def test_a_body_that_breaks_while_read_whole_is_an_error(client, upstream):
    upstream.script(Answer(body=[b'{"half":', Do.EOF], length=100))
    with pytest.raises(UpstreamStreamBroken):
        await ask(client, upstream.url)


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
async def test_no_answer_on_a_fresh_connection_is_an_error_and_never_repeated(client, upstream, end):
    upstream.script(Answer(before_head=[end]))
    with pytest.raises(UpstreamProtocolError):
        await ask(client, upstream.url)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "one by one"])
async def test_interim_answers_without_end_are_a_protocol_error(client, upstream, pause):
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    upstream.script(Answer(raw=[*[interim, 0.005] * 20, Do.STALL] if pause else [interim * 50_000, Do.STALL]))
    with pytest.raises(UpstreamProtocolError, match="not valid HTTP"):
        await ask(client, upstream.url)
    await gone(upstream)


async def test_answers_that_nobody_has_asked_for_close_the_connection(client, upstream):
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
    upstream.script(Answer(raw=[answer, 0.05, answer * 5000, Do.STALL]))
    await ask(client, upstream.url)
    async with asyncio.timeout(5):
        await upstream.requests[0].closed.wait()
