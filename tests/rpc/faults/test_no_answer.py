"""Upstreams that refuse, close or keep silent."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Framing, openai_stream
from tests.fakes.requests import failure
from tests.rpc.conftest import asking
from tests.rpc.faults.exchange import LIST, PATIENCE, Code, called, gone, proxying, said, well


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


async def test_a_refused_connection_is_told_at_once(serve, method):
    with nobody_listens() as url:
        # There is time and budget to try again; but nobody was there a moment ago.
        async with serve(asking(url, retries={"max_attempts": 3})) as server:
            began = time.perf_counter()
            error = await failure(called(server, method))
            assert time.perf_counter() - began < 0.3 * 10
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "UPSTREAM_UNREACHABLE")
    assert error.pushback == "-1"
    assert len(error.detail.attempts) == 1
    assert not error.detail.HasField("partial_usage")


async def test_a_refused_connection_fails_over(serve, upstream, method):
    upstream.script(LIST, well("Hello", method))
    with nobody_listens() as url:
        async with serve(asking(url, f"{upstream.url}/v1")) as server:
            began = time.perf_counter()
            answer = await said(called(server, method))
            assert time.perf_counter() - began < 0.3 * 10
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
        assert error.info.metadata["limit"] == ("first_token" if method == "Stream" else "answer")
        assert len(error.detail.attempts) == 1
        await gone(upstream.requests[0])


async def test_drops_within_one_event_do_not_count_as_output(serve, upstream):
    async with proxying(serve, upstream) as server:
        first, second, *_ = openai_stream(["Hello", "more"])
        for begin in ([], [first, second]):
            drip = [step for byte in second * 20 for step in (bytes([byte]), 0.02)]
            upstream.script(Answer.stream([*begin, *drip]))
            began = time.perf_counter()
            error = await failure(called(server, "Stream", first_token=PATIENCE))
            assert PATIENCE * 0.9 < time.perf_counter() - began < PATIENCE * 10
            assert (error.code, error.reason, error.pushback) == (Code.UNAVAILABLE, "UPSTREAM_TIMEOUT", "-1")
            assert len(error.detail.attempts) == 1
            assert error.detail.output_started is bool(begin)
            assert error.info.metadata["limit"] == ("idle" if begin else "first_token")
            await gone(upstream.requests[-1])


async def test_blank_comments_do_not_count_as_output(serve, upstream):
    async with proxying(serve, upstream) as server:
        upstream.script(Answer.stream([b": waiting\n\n", 0.02] * 200))
        began = time.perf_counter()
        error = await failure(called(server, "Stream", first_token=PATIENCE))
        assert PATIENCE * 0.9 < time.perf_counter() - began < PATIENCE * 10
        assert (error.code, error.reason, error.pushback) == (Code.UNAVAILABLE, "UPSTREAM_TIMEOUT", "-1")
        assert len(error.detail.attempts) == 1
        assert not error.detail.output_started
