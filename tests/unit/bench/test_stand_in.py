"""The stand-in provider answers as a real one would, however its requests come in."""

import asyncio
import json
from contextlib import asynccontextmanager

import msgspec
import pytest

from bench.stand_in import Count, Plan, StandIn, answer, events, plan, words


@asynccontextmanager
async def connected():
    count = Count()
    server = await asyncio.get_running_loop().create_server(lambda: StandIn(count), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield count, reader, writer
    finally:
        writer.close()
        server.close()
        await server.wait_closed()


def post(body):
    data = json.dumps(body).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head.split(b"\r\n")[0], await reader.readexactly(length)


async def read_stream(reader):
    return (await reader.readuntil(b"\r\n0\r\n\r\n")).partition(b"\r\n\r\n")[2]


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not happen in time")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("answer", Plan(tokens=16)),
        ("answer-3", Plan(tokens=3)),
        ("burst-64", Plan(tokens=64)),
        ("paced-64-30ms", Plan(tokens=64, gap=0.03)),
        ("paced-2-5ms", Plan(tokens=2, gap=0.005)),
        ("stall", Plan(tokens=16, stall=True)),
        ("gpt-5", None),
        ("burst-x", None),
        ("", None),
    ],
)
def test_a_model_name_says_how_it_answers(model, expected):
    assert plan(model) == expected


def test_an_answer_holds_every_token_and_its_usage():
    body = json.loads(answer(3))
    assert body["choices"][0]["message"]["content"] == "word0 word1 word2"
    assert body["usage"] == {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


def test_a_stream_ends_by_finish_usage_and_end_marker():
    bodies = [event.split(b"data: ")[1].split(b"\n\n")[0] for event in events(2)]
    assert bodies.pop() == b"[DONE]"
    role, *tokens, finish, usage = map(json.loads, bodies)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert tuple(token["choices"][0]["delta"]["content"] for token in tokens) == words(2)
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 2


async def test_a_request_may_come_byte_by_byte():
    async with connected() as (count, reader, writer):
        for byte in post({"model": "answer-1"}):
            writer.write(bytes([byte]))
            await writer.drain()
        status, body = await read_answer(reader)
    assert status == b"HTTP/1.1 200 OK"
    assert json.loads(body)["choices"][0]["message"]["content"] == "word0"
    assert count == Count(requests=1, completed=1, open=0)


async def test_requests_in_one_packet_are_answered_in_turn():
    async with connected() as (count, reader, writer):
        writer.write(post({"model": "paced-2-1ms", "stream": True}) + post({"model": "answer-1"}))
        assert b"[DONE]" in await read_stream(reader)
        status, _body = await read_answer(reader)
    assert status == b"HTTP/1.1 200 OK"
    assert count == Count(requests=2, completed=2, open=0)


async def test_paced_and_burst_streams_send_the_same_bytes():
    async with connected() as (_count, reader, writer):
        writer.write(post({"model": "burst-4", "stream": True}))
        burst = await read_stream(reader)
        writer.write(post({"model": "paced-4-1ms", "stream": True}))
        paced = await read_stream(reader)
    assert burst == paced == b"".join(events(4)) + b"0\r\n\r\n"


async def test_a_stalled_stream_is_open_until_its_reader_leaves_and_never_complete():
    async with connected() as (count, reader, writer):
        writer.write(post({"model": "stall", "stream": True}))
        await reader.readuntil(b"word0")
        assert count == Count(requests=1, completed=0, open=1)
        writer.close()
        await until(lambda: count.open == 0)
    assert count.completed == 0


async def test_a_paced_stream_whose_reader_leaves_is_not_counted_as_complete():
    async with connected() as (count, reader, writer):
        writer.write(post({"model": "paced-50-10ms", "stream": True}))
        await reader.readuntil(b"word0")
        writer.close()
        await until(lambda: count.open == 0)
    assert count == Count(requests=1, completed=0, open=0)


async def test_an_unknown_model_or_path_is_404():
    async with connected() as (count, reader, writer):
        writer.write(post({"model": "gpt-5"}))
        assert (await read_answer(reader))[0] == b"HTTP/1.1 404 Not Found"
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await read_answer(reader))[0] == b"HTTP/1.1 404 Not Found"
    assert count.completed == 0


async def test_the_counter_is_served():
    async with connected() as (_count, reader, writer):
        writer.write(post({"model": "answer"}))
        await read_answer(reader)
        writer.write(b"GET /count HTTP/1.1\r\n\r\n")
        _status, body = await read_answer(reader)
    assert msgspec.json.decode(body, type=Count) == Count(requests=1, completed=1, open=0)
