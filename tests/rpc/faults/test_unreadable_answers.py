"""Upstreams whose answers cannot be read."""

import gzip
import time

from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Framing
from tests.fakes.requests import failure
from tests.rpc.faults.exchange import (
    SOON,
    Code,
    called,
    chunk,
    gone,
    proxying,
    said,
    saying,
    well,
)


def unreadable(method: str) -> dict[str, Answer]:
    """Answers with status 200 that hold no answer."""
    documents = {
        "null": b"null",
        "a list": b"[]",
        "a string": b'"Hello"',
        "nothing": b"{}",
        "no candidates": b'{"choices":[]}',
        "an empty candidate": b'{"choices":[{}]}',
        "candidates of the wrong type": b'{"choices":{"a":1}}',
        "text of the wrong type": chunk('{"content":7}', method),
        "NaN": chunk('{"content":"Hello"}', method, usage='{"prompt_tokens":NaN}'),
        "infinity": chunk('{"content":"Hello"}', method, usage='{"prompt_tokens":1e400}'),
        "5000 digits": chunk('{"content":"Hello"}', method, usage=f'{{"prompt_tokens":{"9" * 5000}}}'),
        "a number that is none": chunk('{"content":"Hello"}', method, usage='{"prompt_tokens":0x10}'),
        "nesting where nobody looks": chunk('{"content":"Hello"}', method, unknown="[" * 100_000 + "]" * 100_000),
        "nesting": chunk('{"content":"Hello"}', method, usage="[" * 100_000 + "]" * 100_000),
        "half a document": chunk('{"content":"Hello"}', method)[:-1],
        "two documents": chunk('{"content":"Hello"}', method) * 2,
        "no UTF-8": chunk('{"content":"Hello"}', method).replace(b"Hello", b"Hell\xff"),
        "zero bytes": b"\0" * 100,
    }
    answers = {name: saying(document, method) for name, document in documents.items()}
    page = b"<!doctype html><html><body>Please log in.</body></html>"
    answers["a web page"] = Answer(headers={"content-type": "text/html; charset=utf-8"}, body=[page])
    answers["a web page that calls itself an answer"] = Answer.json(page)
    answers["no body"] = Answer.json(b"")
    answers["no body and no type"] = Answer(headers={})
    answers["no HTTP"] = Answer(raw=[b"SSH-2.0-OpenSSH_9.9\r\n", Do.EOF])
    answers["half a head"] = Answer(raw=[b"HTTP/1.1 200 OK\r\ncontent-ty", Do.EOF])
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    answers["a chunk size that is none"] = Answer(raw=[chunked + b"xyz\r\n", Do.EOF])
    answers["a chunk size that is none, later"] = Answer(raw=[chunked, 0.01, b"xyz\r\n", Do.STALL])
    answers["a chunk longer than its size"] = Answer(raw=[chunked + b"1\r\n ", 0.01, b"nonsense", Do.STALL])
    answers["broken compression"] = Answer.json(b"\x1f\x8bnonsense", headers={"content-encoding": "gzip"})
    answers["an upgrade"] = Answer(status=101, headers={"upgrade": "websocket", "connection": "upgrade"})
    answers["the other method's answer, cut"] = Answer.json(b"data: {}\n\n")
    return answers


async def test_an_answer_that_cannot_be_read_is_a_protocol_error(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        for name, answer in unreadable(method).items():
            upstream.script(answer)
            began = time.perf_counter()
            error = await failure(called(server, method))
            assert time.perf_counter() - began < 3 * SOON, name
            assert (error.code, error.reason) == (Code.UNAVAILABLE, "UPSTREAM_PROTOCOL_ERROR"), name
            assert error.pushback == "-1"
            assert len(error.detail.attempts) == 1, name
        assert len(upstream.requests) == len(unreadable(method))


async def test_an_answer_that_cannot_be_read_fails_over(serve, method):
    async with FaultyUpstream() as bad, FaultyUpstream() as good, proxying(serve, bad, good) as server:
        good.handler = lambda _request: well("Hello", method)
        for name, answer in unreadable(method).items():
            bad.script(answer)
            answered = await said(called(server, method))
            assert (answered.text, answered.route.provider) == ("Hello", "b"), name


async def test_what_never_ends_is_refused_before_it_fills_the_memory(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        blanks = gzip.compress(b" " * 65 * 1024 * 1024)
        headers = {"content-type": "text/event-stream" if method == "Stream" else "application/json"}
        headers["content-encoding"] = "gzip"
        upstream.script(Answer(headers=headers, body=[blanks, Do.STALL], framing=Framing.CHUNKED))
        error = await failure(called(server, method))
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "UPSTREAM_PROTOCOL_ERROR")
        await gone(upstream.requests[0])
