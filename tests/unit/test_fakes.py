import asyncio
import time

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Framing, openai_answer, openai_stream
from tests.fakes.relay import Relay, Way

GET = b"GET /x HTTP/1.1\r\nhost: test\r\n\r\n"


async def test_the_upstream_writes_byte_for_byte_what_the_script_says():
    async with FaultyUpstream() as upstream:
        upstream.script(Answer(status=418, headers={"a": "b"}, body=[b"xyz", Do.EOF], length=9))
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(GET)
        assert await reader.read() == b"HTTP/1.1 418 Whatever\r\na: b\r\ncontent-length: 9\r\n\r\nxyz"
        writer.close()
        (request,) = upstream.requests
        assert (request.method, request.path, request.headers, request.body) == ("GET", "/x", {"host": "test"}, b"")


async def test_the_upstream_chops_and_frames():
    async with FaultyUpstream() as upstream:
        upstream.script(Answer.stream([b"abcdef", b"", b"g"], chop=1), Answer(body=[b"h"], framing=Framing.CLOSE))
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(GET + GET)
        answer = await reader.read()
        assert b"\r\n\r\n6\r\nabcdef\r\n1\r\ng\r\n0\r\n\r\nHTTP/1.1 200" in answer
        assert answer.endswith(b"\r\n\r\nh")
        writer.close()


async def test_the_upstream_resets():
    async with FaultyUpstream() as upstream:
        upstream.script(Answer(before_head=[Do.RESET]))
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(GET)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_stall_ends_when_the_peer_leaves_and_says_so():
    async with FaultyUpstream() as upstream:
        upstream.script(Answer(before_head=[Do.STALL]))
        _, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(GET)
        request = await upstream.arrived()
        assert not request.closed.is_set()
        writer.close()
        async with asyncio.timeout(0.5):
            await request.closed.wait()


async def test_openai_bodies_have_what_was_asked_for():
    assert [piece for piece in openai_stream("Hi", usage=None, finish=None, done=False) if b"usage" in piece] == []
    assert openai_stream("Hi")[-1] == b"data: [DONE]\n\n"
    assert b'"usage": {"prompt_tokens": 1, ' in openai_answer("Hi", usage=(1, 2))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def test_a_relay_passes_on_holds_delays_and_cuts():
    async with (
        await asyncio.start_server(echo, "127.0.0.1", 0) as server,
        Relay(server.sockets[0].getsockname()[1]) as relay,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        relay.hold(Way.TO_CLIENT)
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.03)
        relay.resume()
        assert await reader.readexactly(3) == b"two"
        relay.latency = 0.02
        start = time.monotonic()
        writer.write(b"six")
        assert await reader.readexactly(3) == b"six"
        assert time.monotonic() - start >= 0.04
        relay.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert relay.accepted == 1


async def test_a_relay_chops():
    async with (
        await asyncio.start_server(echo, "127.0.0.1", 0) as server,
        Relay(server.sockets[0].getsockname()[1], chop=1) as relay,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"abc")
        assert await reader.readexactly(3) == b"abc"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


def test_a_clock_moves_only_as_told():
    clock = FakeClock(5)
    wall = clock.now()
    clock.advance(2.5)
    assert clock() == 7.5
    assert (clock.now() - wall).total_seconds() == 2.5
    with pytest.raises(ValueError):
        clock.advance(-1)
