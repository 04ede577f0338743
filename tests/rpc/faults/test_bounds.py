"""How long a fault may take over the wire, and how many attempts it may cost, wherever chance puts it."""

import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest

from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Step, openai_stream
from tests.fakes.relay import Relay
from tests.fakes.requests import chat_request, failure, stream_request
from tests.rpc.conftest import asking
from tests.rpc.faults.exchange import PATIENCE, SOON, Code, called, gone, proxying, read_failure, said, well
from tests.rpc.faults.test_no_answer import nobody_accepts

STEPS = openai_stream([f"word{number} " for number in range(12)])
SLACK = 0.05
"""Seconds in which what was written is read."""
RETRIED = {"max_attempts": 3}
"""Three even where there is one target: what is tried once all the same is never tried again."""


@pytest.fixture(params=[1, 2, 3])
def chance(request) -> Random:
    return Random(request.param)


@asynccontextmanager
async def nobody_greets():
    """An address that takes connections, and holds back whatever TLS says on them."""
    async with FaultyUpstream() as behind, Relay(behind.port) as line:
        line.hold()
        yield f"https://127.0.0.1:{line.port}/v1"


async def test_connecting_or_greeting_that_never_ends_is_one_attempt_within_its_limit(serve, method, chance):
    limit = chance.uniform(PATIENCE, 2 * PATIENCE)
    limits = {"connect": limit}
    with nobody_accepts() as unconnected:
        async with nobody_greets() as ungreeted:
            for url in (unconnected, ungreeted):
                async with serve(asking(url, timeouts=limits, retries=RETRIED)) as server:
                    began = time.perf_counter()
                    error = await failure(called(server, method))
                    assert limit * 0.9 < time.perf_counter() - began < limit * 10
                assert (error.code, error.reason, error.pushback) == (Code.UNAVAILABLE, "UPSTREAM_UNREACHABLE", "-1")
                assert len(error.detail.attempts) == 1


def cut_short(chance: Random, *then: Step, spoken: bool = True) -> Answer:
    """A stream that goes on as told behind any byte of its text, or of what stands before that."""
    body, said_first = b"".join(STEPS), sum(map(len, STEPS[:2]))
    behind_text = body.index(b'"finish_reason": "stop"')
    at = chance.randrange(said_first, behind_text) if spoken else chance.randrange(1, len(STEPS[0]))
    return Answer.stream([body[:at], *then])


async def test_silence_within_a_stream_is_one_attempt_within_its_limit_and_lets_the_provider_go(
    serve, upstream, chance
):
    limit = chance.uniform(PATIENCE, 2 * PATIENCE)
    async with proxying(serve, upstream, retries=RETRIED, timeouts={"idle": limit}) as server:
        upstream.script(cut_short(chance, Do.STALL))
        call = called(server, "Stream")
        await call.read()
        began = time.perf_counter()
        error = await read_failure(call)
        assert limit * 0.9 - SLACK < time.perf_counter() - began < limit * 10
        await gone(upstream.requests[0])
        assert (error.code, error.reason, error.pushback) == (Code.UNAVAILABLE, "UPSTREAM_TIMEOUT", "-1")
        assert len(error.detail.attempts) == len(upstream.requests) == 1


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
async def test_a_stream_that_is_cut_is_one_attempt_and_fails_at_once(serve, upstream, chance, end):
    async with proxying(serve, upstream, retries=RETRIED) as server:
        upstream.script(cut_short(chance, SLACK, end))
        began = time.perf_counter()
        error = await failure(called(server, "Stream"))
        assert time.perf_counter() - began < SOON
        assert (error.code, error.reason, error.pushback) == (Code.UNAVAILABLE, "UPSTREAM_STREAM_BROKEN", "-1")
        assert error.detail.partial_usage.output_tokens > 0
        assert len(error.detail.attempts) == len(upstream.requests) == 1


@pytest.mark.parametrize("end", [Do.EOF, Do.RESET])
async def test_a_stream_that_is_cut_before_it_says_anything_is_tried_three_times(serve, upstream, chance, end):
    async with proxying(serve, upstream, retries=RETRIED) as server:
        upstream.handler = lambda _request: cut_short(chance, SLACK, end, spoken=False)
        began = time.perf_counter()
        error = await failure(called(server, "Stream"))
        assert time.perf_counter() - began < 3 * SOON
        assert (error.code, error.reason, error.pushback) == (Code.UNAVAILABLE, "UPSTREAM_PROTOCOL_ERROR", "-1")
        assert len(error.detail.attempts) == len(upstream.requests) == 3


def limited(chance: Random) -> Answer:
    """A 429 with a wait in any form, or none."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=chance.uniform(10, 50)), usegmt=True)
    waits = [str(chance.randrange(10, 60)), soon, "999999999999", "-5", "soon", None]
    wait = chance.choice(waits)
    return Answer.json(b"{}", status=429, headers={} if wait is None else {"retry-after": wait})


async def test_a_rate_limit_is_one_attempt_and_no_wait_and_the_target_rests(serve, method, chance):
    async with FaultyUpstream() as bad, FaultyUpstream() as good, proxying(serve, bad, good) as server:
        bad.handler = lambda _request: limited(chance)
        good.handler = lambda _request: well("Hello", method)
        ask = {"Chat": chat_request, "Stream": stream_request}[method]
        began = time.perf_counter()
        answers = [await said(getattr(server.stub, method)(ask(), timeout=20)) for _ in range(2)]
        assert time.perf_counter() - began < SOON  # the shortest rest
        assert [answer.route.provider for answer in answers] == ["b", "b"]
        assert [len(answer.route.failed_attempts) for answer in answers] == [1, 0]
        assert (len(bad.requests), len(good.requests)) == (1, 2)


async def test_a_rate_limit_of_the_only_target_that_asks_for_long_fails_at_once(serve, upstream, method, chance):
    seconds = chance.randrange(10, 60)
    async with proxying(serve, upstream, retries=RETRIED) as server:
        upstream.script(Answer.json(b"{}", status=429, headers={"retry-after": str(seconds)}))
        began = time.perf_counter()
        error = await failure(called(server, method))
        assert time.perf_counter() - began < SOON
        assert (error.code, error.pushback) == (Code.RESOURCE_EXHAUSTED, f"{seconds}000")
        assert len(error.detail.attempts) == len(upstream.requests) == 1
