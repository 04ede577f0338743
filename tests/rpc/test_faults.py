"""Upstreams that fail in every way, behind the whole server: what the caller gets, and what becomes of connections."""

import asyncio
import gzip
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import grpc
import pytest

from llmproxy_grpc._gen.v1 import chat_pb2, generation_pb2, health_pb2
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Framing, Request, openai_answer, openai_stream
from tests.fakes.requests import RichError, chat_request, failure, stream_request
from tests.rpc.conftest import Serving, asking

SOON = 1.0  # what is promised within 100 ms; tests assert ten times the figure
PATIENCE = 0.25
LIST = Answer.json(b'{"data":[]}')
Code = grpc.StatusCode


@dataclass
class Said:
    """What a successful call said, the same for Chat and Stream."""

    text: str
    route: Any
    usage: Any
    finish: int


@pytest.fixture(params=["Chat", "Stream"])
def method(request) -> str:
    return request.param


@pytest.fixture
async def upstream() -> AsyncIterator[FaultyUpstream]:
    async with FaultyUpstream() as upstream:
        yield upstream


@asynccontextmanager
async def proxying(serve, *upstreams: FaultyUpstream, **sections: Any) -> AsyncIterator[Serving]:
    """A server before these upstreams, which have listed their models already."""
    for upstream in upstreams:
        upstream.script(LIST)
    async with serve(asking(*(f"{upstream.url}/v1" for upstream in upstreams), **sections)) as server:
        for upstream in upstreams:
            await upstream.arrived()
            upstream.requests.clear()
        yield server


def called(
    server: Serving, method: str, *, text: str = "Hi", timeout: float | None = 20, first_token: float = 0
) -> Any:
    """The call itself, not yet awaited."""
    request: Any = stream_request(text) if method == "Stream" else chat_request(text)
    if first_token:
        chat = request.chat if method == "Stream" else request
        chat.routing.first_token_timeout.FromNanoseconds(int(first_token * 1e9))
        chat.routing.idle_timeout.FromNanoseconds(int(first_token * 1e9))
    return getattr(server.stub, method)(request, timeout=timeout)


async def said(call: Any) -> Said:
    """What a call says that must be OK."""
    if not hasattr(call, "__aiter__"):
        answer: chat_pb2.ChatResponse = await call
        (candidate,) = answer.candidates
        text = "".join(part.text for part in candidate.message.parts)
        return Said(text, answer.route, answer.usage, candidate.finish_reason)
    events = [event async for event in call]
    assert events[-1].WhichOneof("event") == "end"
    (finish,) = (event.finish.finish_reason for event in events if event.HasField("finish"))
    text = "".join(event.delta.text for event in events)
    return Said(text, events[-1].end.route, events[-1].end.usage, finish)


def well(text: str, method: str, **how: Any) -> Answer:
    """A good answer to a call of this method."""
    return Answer.stream(openai_stream(text, **how)) if method == "Stream" else Answer.json(openai_answer(text, **how))


def saying(document: bytes, method: str) -> Answer:
    """One JSON document as the answer, or as the only event of it before the end marker."""
    return (
        Answer.stream([b"data: %b\n\n" % document, b"data: [DONE]\n\n"])
        if method == "Stream"
        else Answer.json(document)
    )


def chunk(message: str, method: str, **more: str) -> bytes:
    """A document with one candidate that is complete; `message` and `more` are JSON, well formed or not."""
    kind = "delta" if method == "Stream" else "message"
    rest = "".join(f',"{name}":{value}' for name, value in more.items())
    return f'{{"choices":[{{"index":0,"{kind}":{message},"finish_reason":"stop"}}]{rest}}}'.encode()


async def read_failure(call: Any) -> RichError:
    """Reads on in a stream that must fail, of which something has been read."""
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return RichError(error)
    raise AssertionError("the call did not fail")


async def gone(request: Request) -> float:
    """Waits until a request's connection is closed; gives the seconds that took."""
    began = time.perf_counter()
    async with asyncio.timeout(SOON):
        await request.closed.wait()
    return time.perf_counter() - began


@contextmanager
def nobody_listens() -> Iterator[str]:
    """An address that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


@contextmanager
def nobody_accepts() -> Iterator[str]:
    """An address where connecting takes for ever: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(listener.getsockname())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            for each in waiting:
                each.close()


# No answer.


async def test_a_refused_connection_is_told_at_once(serve, method):
    with nobody_listens() as url:
        async with serve(asking(url)) as server:
            began = time.perf_counter()
            error = await failure(called(server, method))
            assert time.perf_counter() - began < 0.3 * 10
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "UPSTREAM_UNREACHABLE")
    assert error.pushback == "-1"
    assert not error.detail.HasField("partial_usage")


async def test_a_refused_connection_fails_over(serve, upstream, method):
    upstream.script(LIST, well("Hello", method))
    with nobody_listens() as url:
        async with serve(asking(url, f"{upstream.url}/v1")) as server:
            answer = await said(called(server, method))
    assert (answer.text, answer.route.provider) == ("Hello", "b")
    assert [attempt.reason for attempt in answer.route.failed_attempts] == [15]


async def test_connecting_is_bounded_and_fails_over(serve, upstream, method):
    upstream.script(LIST, well("Hello", method))
    with nobody_accepts() as url:
        async with serve(asking(url, f"{upstream.url}/v1", timeouts={"connect": PATIENCE})) as server:
            began = time.perf_counter()
            answer = await said(called(server, method))
            assert PATIENCE * 0.9 < time.perf_counter() - began < PATIENCE * 10
    assert answer.route.provider == "b"
    assert [attempt.reason for attempt in answer.route.failed_attempts] == [15]


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
async def test_a_connection_that_closes_without_an_answer_fails_over(serve, method, end):
    async with FaultyUpstream() as bad, FaultyUpstream() as good, proxying(serve, bad, good) as server:
        # On a connection that has served before it would be taken for an idle one that timed out.
        bad.script(*[Answer(raw=[end])] * 2)
        good.script(well("Hello", method))
        answer = await said(called(server, method))
        assert answer.route.provider == "b"
        assert [attempt.reason for attempt in answer.route.failed_attempts] == [17]
        assert len(bad.requests) == 2
        assert bad.requests[1].connection != bad.requests[0].connection


@pytest.mark.parametrize("when", ["before the headers", "behind the headers"])
async def test_silence_before_the_first_output_fails_over(serve, method, when):
    async with FaultyUpstream() as bad, FaultyUpstream() as good, proxying(serve, bad, good) as server:
        silent = {"before_head" if when == "before the headers" else "body": [Do.STALL]}
        bad.script(Answer(headers={"content-type": "text/event-stream"}, framing=Framing.CHUNKED, **silent))
        good.script(well("Hello", method))
        began = time.perf_counter()
        answer = await said(called(server, method, first_token=PATIENCE))
        assert PATIENCE * 0.9 < time.perf_counter() - began < PATIENCE * 10
        assert answer.route.provider == "b"
        assert [attempt.reason for attempt in answer.route.failed_attempts] == [16]
        await gone(bad.requests[0])


async def test_silence_of_the_only_target_is_a_timeout(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        upstream.script(Answer(before_head=[Do.STALL]))
        error = await failure(called(server, method, first_token=PATIENCE))
        assert (error.code, error.reason, error.pushback) == (Code.UNAVAILABLE, "UPSTREAM_TIMEOUT", "-1")
        await gone(upstream.requests[0])


async def test_drops_within_one_event_do_not_count_as_output(serve, upstream):
    async with proxying(serve, upstream) as server:
        first, second, *_ = openai_stream(["Hello", "more"])
        for begin in ([], [first, second]):
            drip = [step for byte in second * 20 for step in (bytes([byte]), 0.02)]
            upstream.script(Answer.stream([*begin, *drip]))
            began = time.perf_counter()
            error = await failure(called(server, "Stream", first_token=PATIENCE))
            assert error.reason == "UPSTREAM_TIMEOUT"
            assert time.perf_counter() - began < PATIENCE * 10
            assert error.detail.output_started is bool(begin)
            await gone(upstream.requests[-1])


async def test_blank_comments_do_not_count_as_output(serve, upstream):
    async with proxying(serve, upstream) as server:
        upstream.script(Answer.stream([b": waiting\n\n", 0.02] * 200))
        error = await failure(called(server, "Stream", first_token=PATIENCE))
        assert error.reason == "UPSTREAM_TIMEOUT"


# An answer that says no.


REFUSALS = {
    400: (Code.INVALID_ARGUMENT, "INVALID_REQUEST"),
    401: (Code.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED"),
    402: (Code.RESOURCE_EXHAUSTED, "UPSTREAM_QUOTA_EXHAUSTED"),
    403: (Code.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED"),
    404: (Code.NOT_FOUND, "MODEL_NOT_FOUND"),
    405: (Code.UNAVAILABLE, "UPSTREAM_PROTOCOL_ERROR"),
    408: (Code.UNAVAILABLE, "UPSTREAM_TIMEOUT"),
    413: (Code.INVALID_ARGUMENT, "INVALID_REQUEST"),
    422: (Code.INVALID_ARGUMENT, "INVALID_REQUEST"),
    429: (Code.RESOURCE_EXHAUSTED, "UPSTREAM_RATE_LIMITED"),
    500: (Code.UNAVAILABLE, "UPSTREAM_SERVER_ERROR"),
    502: (Code.UNAVAILABLE, "UPSTREAM_SERVER_ERROR"),
    503: (Code.UNAVAILABLE, "UPSTREAM_SERVER_ERROR"),
    504: (Code.UNAVAILABLE, "UPSTREAM_SERVER_ERROR"),
    529: (Code.UNAVAILABLE, "UPSTREAM_OVERLOADED"),
    599: (Code.UNAVAILABLE, "UPSTREAM_SERVER_ERROR"),
}
FINAL = {400, 413, 422}
"""What another target would not take either."""


@pytest.mark.parametrize("body", [b'{"error":{"message":"No.","type":"x"}}', b"<html>No.</html>", b"", b'{"error":'])
async def test_a_status_says_what_failed_whatever_the_body(serve, upstream, method, body):
    async with proxying(serve, upstream) as server:
        for status, expected in REFUSALS.items():
            upstream.script(Answer.json(body, status=status))
            error = await failure(called(server, method))
            assert (error.code, error.reason) == expected, status
            assert error.detail.upstream_http_status == status
            assert error.pushback == (None if status in {*FINAL, 404} else "-1"), status
            assert b"<html>" not in error.status.SerializeToString()


async def test_only_what_another_target_may_do_better_fails_over(serve, method):
    async with FaultyUpstream() as bad, FaultyUpstream() as good, proxying(serve, bad, good) as server:
        good.handler = lambda _request: well("Hello", method)
        for status in REFUSALS:
            bad.script(Answer.json(b"{}", status=status))
            good.requests.clear()
            call = called(server, method)
            if status in FINAL:
                await failure(call)
            else:
                answer = await said(call)
                assert answer.route.provider == "b", status
                assert len(answer.route.failed_attempts) == 1
            assert len(good.requests) == (0 if status in FINAL else 1), status
        assert len(bad.requests) == len(REFUSALS)


RETRY_AFTER = {
    "seconds": ({"retry-after": "7"}, 7000),
    "milliseconds": ({"retry-after-ms": "250"}, 250),
    "milliseconds win": ({"retry-after-ms": "250", "retry-after": "7"}, 250),
    "a date gone by": ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1),
    "at once": ({"retry-after": "0"}, 1),
    "more than a day": ({"retry-after": "999999999999"}, 86_400_000),
    "negative": ({"retry-after": "-5"}, -1),
    "no number": ({"retry-after": "soon"}, -1),
    "not a number": ({"retry-after": "NaN"}, -1),
    "infinite": ({"retry-after": "inf"}, -1),
    "absent": ({}, -1),
    "until the limit resets": ({"x-ratelimit-reset-requests": "1m30s"}, 90_000),
}


async def test_a_rate_limit_tells_how_long_to_wait_if_the_provider_does(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        for name, (headers, milliseconds) in RETRY_AFTER.items():
            upstream.script(Answer.json(b"{}", status=429, headers=headers))
            error = await failure(called(server, method))
            assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "UPSTREAM_RATE_LIMITED"), name
            assert error.pushback == str(milliseconds), name
            seconds = error.retry_info.retry_delay.ToTimedelta().total_seconds()
            assert seconds == pytest.approx(max(0, milliseconds) / 1000, abs=0.002), name


async def test_a_rate_limit_may_name_a_date(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
        upstream.script(Answer.json(b"{}", status=429, headers={"retry-after": date}))
        error = await failure(called(server, method))
        assert error.pushback is not None
        assert 20_000 < int(error.pushback) <= 41_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(serve, upstream, method, status):
    async with FaultyUpstream() as thief, proxying(serve, upstream) as server:
        upstream.script(Answer.json(b"{}", status=status, headers={"location": f"{thief.url}/v1/chat/completions"}))
        error = await failure(called(server, method))
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "UPSTREAM_PROTOCOL_ERROR")
        assert thief.connections == 0
        assert len(upstream.requests) == 1


async def test_nothing_that_a_provider_says_of_our_key_reaches_the_caller(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        for status in (400, 401, 403, 404, 429, 500, 529):
            complaint = {"message": "Incorrect API key provided: test-key. Send Bearer test-key.", "code": "x"}
            upstream.script(Answer.json(json.dumps({"error": complaint}).encode(), status=status))
            error = await failure(called(server, method))
            assert "test-key" not in error.message, status
            for trailer in error.trailers.values():
                assert b"test-key" not in (trailer.encode() if isinstance(trailer, str) else trailer), status


# An answer that cannot be read.


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
    answers["a chunk size that is none"] = Answer(
        raw=[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", Do.EOF]
    )
    answers["broken compression"] = Answer.json(b"\x1f\x8bnonsense", headers={"content-encoding": "gzip"})
    answers["an upgrade"] = Answer(status=101, headers={"upgrade": "websocket", "connection": "upgrade"})
    answers["the other method's answer, cut"] = Answer.json(b"data: {}\n\n")
    return answers


async def test_an_answer_that_cannot_be_read_is_a_protocol_error(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        for name, answer in unreadable(method).items():
            upstream.script(answer)
            error = await failure(called(server, method))
            assert (error.code, error.reason) == (Code.UNAVAILABLE, "UPSTREAM_PROTOCOL_ERROR"), name
            assert error.pushback == "-1"
        assert len(upstream.requests) == len(unreadable(method))


async def test_an_answer_that_cannot_be_read_fails_over(serve, method):
    async with FaultyUpstream() as bad, FaultyUpstream() as good, proxying(serve, bad, good) as server:
        good.handler = lambda _request: well("Hello", method)
        for name, answer in unreadable(method).items():
            bad.script(answer)
            answered = await said(called(server, method))
            assert (answered.text, answered.route.provider) == ("Hello", "b"), name


IN_BAND = {
    "rate_limit_exceeded": "UPSTREAM_RATE_LIMITED",
    "insufficient_quota": "UPSTREAM_QUOTA_EXHAUSTED",
    "overloaded_error": "UPSTREAM_OVERLOADED",
    "context_length_exceeded": "CONTEXT_LENGTH_EXCEEDED",
    "content_filter": "PROMPT_BLOCKED",
    "who_knows": "UPSTREAM_SERVER_ERROR",
}


async def test_an_error_behind_status_200_is_the_error_it_says(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        for code, reason in IN_BAND.items():
            document = json.dumps({"error": {"message": "No.", "code": code}}).encode()
            for answer in (Answer.json(document), saying(document, method)):
                upstream.script(answer)
                assert (await failure(called(server, method))).reason == reason, code


async def test_an_error_in_the_middle_of_a_stream_ends_it_with_its_reason(serve):
    async with FaultyUpstream() as bad, FaultyUpstream() as good, proxying(serve, bad, good) as server:
        role, text, *_ = openai_stream("Hello")
        event = b'event: error\ndata: {"error":{"message":"Busy.","code":"overloaded_error"}}\n\n'
        bad.script(Answer.stream([role, text, event]))
        error = await failure(called(server, "Stream"))
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "UPSTREAM_OVERLOADED")
        assert error.detail.output_started
        assert good.requests == []
        bad.script(Answer.stream([role, event]))
        good.script(well("Hello", "Stream"))
        assert (await said(called(server, "Stream"))).route.provider == "b"


# An answer that is odd and right.


async def test_a_whole_answer_to_a_stream_becomes_one(serve, upstream):
    async with proxying(serve, upstream) as server:
        upstream.script(Answer.json(openai_answer("Hello there")))
        answer = await said(called(server, "Stream"))
        assert (answer.text, answer.usage.total_tokens) == ("Hello there", 12)


async def test_the_content_type_alone_spoils_nothing(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        for media_type in ("text/plain", "application/octet-stream", "TEXT/EVENT-STREAM; charset=utf-8", ""):
            good = well("Hello", method)
            upstream.script(Answer(headers={"content-type": media_type}, body=good.body, framing=good.framing))
            assert (await said(called(server, method))).text == "Hello", media_type


async def test_a_line_of_600_kibibytes_is_no_trouble(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        text = "x" * 600 * 1024
        upstream.script(well(text, method))
        assert (await said(called(server, method))).text == text


async def test_half_characters_are_joined_or_replaced(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        upstream.script(
            saying(chunk(r'{"content":"a\ud83d\ude00b"}', method), method),
            saying(chunk(r'{"content":"a\ud83d"}', method), method),
        )
        assert (await said(called(server, method))).text == "a\N{GRINNING FACE}b"
        assert (await said(called(server, method))).text == "a\ufffd"


async def test_half_characters_of_two_events_are_joined(serve, upstream):
    async with proxying(serve, upstream) as server:
        upstream.script(Answer.stream(openai_stream(["a\ud83d", "\ude00b"])))
        assert (await said(called(server, "Stream"))).text == "a\N{GRINNING FACE}b"


MOST = 2**31 - 1
LIES: dict[str, tuple[str, tuple[int, int]]] = {
    "negative": ('{"prompt_tokens":-5,"completion_tokens":-7,"total_tokens":-12}', (0, 0)),
    "huge": ('{"prompt_tokens":99999999999999999999,"completion_tokens":1e30}', (MOST, MOST)),
    "200 digits": (f'{{"prompt_tokens":5,"completion_tokens":{"9" * 200}}}', (5, MOST)),
    "fractions": ('{"prompt_tokens":5.9,"completion_tokens":7.0}', (5, 7)),
    "zero": ('{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}', (0, 0)),
    "details of the wrong type": ('{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":[1]}', (5, 7)),
    "more cached than read": (
        '{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":500}}',
        (5, 7),
    ),
}


async def test_usage_that_lies_is_clipped_to_what_can_be(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        for name, (usage, expected) in LIES.items():
            upstream.script(saying(chunk('{"content":"Hello"}', method, usage=usage), method))
            answer = await said(called(server, method))
            assert (answer.usage.input_tokens, answer.usage.output_tokens) == expected, name
            assert answer.usage.total_tokens == min(sum(expected), MOST), name
            assert answer.usage.cached_input_tokens <= answer.usage.input_tokens, name
            assert answer.usage.source == generation_pb2.USAGE_SOURCE_PROVIDER, name


async def test_usage_that_is_absent_or_none_is_estimated(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        for usage in ("null", "{}", "[]", '"many"', "7", '{"prompt_tokens_details":null}'):
            upstream.script(saying(chunk(f'{{"content":"{"x" * 40}"}}', method, usage=usage), method))
            answer = await said(called(server, method))
            assert answer.usage.source == generation_pb2.USAGE_SOURCE_ESTIMATE, usage
            assert answer.usage.output_tokens == 10


async def test_an_answer_compressed_unasked_is_read(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        good = well("Hello", method)
        body = gzip.compress(b"".join(step for step in good.body if isinstance(step, bytes)))
        upstream.script(Answer(headers={**good.headers, "content-encoding": "gzip"}, body=[body]))
        assert (await said(called(server, method))).text == "Hello"
        assert upstream.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("chop", [1, 7])
async def test_an_answer_in_tiny_pieces_is_the_same(serve, upstream, method, chop):
    async with proxying(serve, upstream) as server:
        good = well("Grüße, Jürgen", method)
        upstream.script(Answer(headers=good.headers, body=good.body, framing=good.framing, chop=chop))
        assert (await said(called(server, method))).text == "Grüße, Jürgen"


# Connections.


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


async def nothing_in_flight(server: Serving) -> None:
    """Waits until the server knows of no call."""
    async with asyncio.timeout(SOON):
        while True:
            health = await server.stub.Health(health_pb2.HealthRequest())
            # The one that asks is a call itself.
            if (health.load.active_calls, health.load.active_streams) == (1, 0):
                break
            await asyncio.sleep(0.005)
    assert all(provider.in_flight == 0 for provider in health.providers)


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
        call = called(server, method, timeout=0.6)
        request = await halt(server, upstream, phase, call)
        error = await (read_failure(call) if phase == "between events" else failure(call))
        assert time.perf_counter() - began < 0.6 + SOON
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
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await said(called(server, method, timeout=0.0005))
            assert raised.value.code() is Code.DEADLINE_EXCEEDED
        await nothing_in_flight(server)
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


# What providers get to see.


async def test_each_provider_gets_its_own_key_and_nothing_of_the_caller(serve, method):
    async with FaultyUpstream() as one, FaultyUpstream() as other:
        one.script(LIST, Answer.json(b"{}", status=500))
        other.script(LIST, well("Hello", method))
        config = asking(f"{one.url}/v1", f"{other.url}/v1")
        config["providers"][1]["api_key"] = "test-key-of-b"
        async with serve(config) as server:
            request = chat_request()
            request.labels["team"] = "label-canary"
            metadata = (
                ("authorization", "Bearer callers-canary"),
                ("x-api-key", "callers-canary"),
                ("x-request-id", "request-canary"),
                ("cookie", "callers-canary"),
                ("x-forwarded-for", "10.1.2.3"),
            )
            if method == "Stream":
                call = server.stub.Stream(chat_pb2.StreamRequest(chat=request), metadata=metadata, timeout=20)
            else:
                call = server.stub.Chat(request, metadata=metadata, timeout=20)
            await said(call)
    for upstream, key in ((one, "test-key"), (other, "test-key-of-b")):
        for received in upstream.requests:
            assert received.headers["authorization"] == f"Bearer {key}"
            assert received.headers["accept-encoding"] == "identity"
            everything = json.dumps(received.headers) + received.body.decode()
            assert "canary" not in everything
            assert "10.1.2.3" not in everything
            assert set(received.headers) <= {
                "accept",
                "accept-encoding",
                "authorization",
                "content-length",
                "content-type",
                "host",
                "user-agent",
            }


async def test_no_call_answers_another(serve, upstream, method):
    """Calls at once, some of them cancelled: each answer is that of its own question."""
    async with proxying(serve, upstream) as server:
        upstream.handler = lambda request: well(request.json()["messages"][0]["content"], method)

        async def one(number: int) -> None:
            call = called(server, method, text=f"question {number}")
            if number % 5 == 0:
                await asyncio.sleep(0.001 * (number % 3))
                call.cancel()
                return
            assert (await said(call)).text == f"question {number}"

        await asyncio.gather(*(one(number) for number in range(100)))
        await nothing_in_flight(server)
