"""Upstreams that say no: by status, by redirect, or behind status 200."""

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.fakes.faulty_upstream import Answer, FaultyUpstream, openai_stream
from tests.fakes.requests import RichError, failure
from tests.rpc.faults.exchange import SOON, Code, called, proxying, said, saying, well

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
        for status, refusal in REFUSALS.items():
            bad.script(Answer.json(b"{}", status=status))
            good.requests.clear()
            began = time.perf_counter()
            call = called(server, method)
            if status in FINAL:
                error = await failure(call)
                assert (error.code, error.reason, error.pushback) == (*refusal, None), status
                assert [each.provider for each in error.detail.attempts] == ["a"], status
                assert time.perf_counter() - began < SOON, status
            else:
                answer = await said(call)
                assert answer.route.provider == "b", status
                assert [each.provider for each in answer.route.failed_attempts] == ["a"], status
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


SAYING_OUR_KEY = {
    "in words": {"message": "Incorrect API key provided: test-key. Send Bearer test-key.", "code": "x"},
    "as a word like any other": {"message": "We know no test-key here.", "code": "x"},
    "as a code": {"message": "No.", "code": "test-key"},
    "as a type": {"message": "No.", "type": "see test-key"},
}


async def test_nothing_that_a_provider_says_of_our_key_reaches_the_caller(serve, upstream, method):
    async with proxying(serve, upstream) as server:
        for name, complaint in SAYING_OUR_KEY.items():
            body = json.dumps({"error": complaint}).encode()
            for status in (200, 400, 401, 403, 404, 429, 500, 529):
                id_of_request = {"x-request-id": "test-key"}
                upstream.script(Answer.json(body, status=status, headers=id_of_request))
                check_key_unseen(await failure(called(server, method)), f"{name}, {status}")
            if method == "Stream":
                upstream.script(Answer.stream([*openai_stream("Hello")[:2], b"data: %b\n\n" % body]))
                check_key_unseen(await failure(called(server, method)), f"{name}, in the middle of a stream")


def check_key_unseen(error: RichError, where: str) -> None:
    assert "test-key" not in error.message, where
    for trailer in error.trailers.values():
        assert b"test-key" not in (trailer.encode() if isinstance(trailer, str) else trailer), where


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
