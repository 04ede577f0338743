"""When a provider's error says that it is worth asking again."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from llmproxy_grpc.errors import ProxyError, UpstreamOverloaded
from llmproxy_grpc.providers.failures import failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fail(status: int, body: Any = b"", **headers: str) -> ProxyError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failure(status, {name.replace("_", "-"): value for name, value in headers.items()}, data, now=NOW)


@pytest.mark.parametrize(
    ("status", "seconds"),
    [(429, 3.0), (503, 3.0), (529, 3.0), (500, 3.0), (408, 3.0), (402, None), (400, None), (401, None)],
)
def test_a_wait_belongs_only_to_errors_that_pass(status, seconds):
    assert fail(status, retry_after="3").retry_after == seconds


def test_503_with_a_wait_is_overload():
    assert type(fail(503, retry_after="3")) is UpstreamOverloaded


def test_the_wait_of_the_body_is_second_to_that_of_the_headers():
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "22.5s"}]}}
    assert fail(429, body).retry_after == 22.5
    assert fail(429, body, retry_after="3").retry_after == 3


@pytest.mark.parametrize("status", [500, 503, 529])
@pytest.mark.parametrize(
    "limits",
    [
        {"x_ratelimit_remaining_requests": "9999", "x_ratelimit_reset_requests": "6m0s"},
        {"anthropic_ratelimit_tokens_remaining": "9999", "anthropic_ratelimit_tokens_reset": "2026-01-01T00:06:00Z"},
    ],
)
def test_a_limit_of_the_rate_says_nothing_of_other_errors(status, limits):
    assert fail(status, **limits).retry_after is None
    assert fail(status, **limits, retry_after="3").retry_after == 3
    assert fail(429, **limits).retry_after == 360


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached. Please try again in 11.054s.", 11.054),
        ("Limit reached, try again in 250ms.", 0.25),
        ("Requests have exceeded the rate limit. Please retry after 6 seconds.", 6.0),
        ("Please try again in 6m0s.", 360.0),
        ("Limit reached. Please try again in 1m30.5s, or upgrade.", 90.5),
        ("Quota exceeded.\nPlease retry in 22.470653742s.", 22.470653742),
        ("Please retry after 2 minutes.", 120.0),
        ("Retry after 1 minute 30 seconds", 90.0),
        ("try again in 250 milliseconds", 0.25),
        ("try again in 1h2m3s", 3723.0),
        ("Please try again in 999999h.", 86400.0),
        ("Please try again in 5 months.", None),
        ("Please try again in 5.", None),
        ("Please try again later.", None),
        ("Please try again in a minute.", None),
    ],
)
def test_a_wait_may_stand_in_the_words_alone(message, seconds):
    assert fail(200, {"error": {"code": "rate_limit_exceeded", "message": message}}).retry_after == seconds


def test_a_wait_may_stand_in_the_headers_that_a_body_tells_of():
    reset = f"{(NOW.timestamp() + 30) * 1000:.0f}"
    headers = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    body = {"error": {"code": 429, "message": "Rate limit exceeded", "metadata": {"headers": headers}}}
    assert fail(429, body).retry_after == 30
    assert fail(429, body, retry_after="3").retry_after == 3
    body["error"]["metadata"] = {"headers": {"Retry-After": 7}}
    assert fail(429, body).retry_after == 7
    body["error"]["metadata"] = {"headers": [1]}
    assert fail(429, body).retry_after is None


@pytest.mark.parametrize(
    ("told", "again"), [({}, True), ({"x_should_retry": "true"}, True), ({"x_should_retry": "False"}, False)]
)
@pytest.mark.parametrize("status", [429, 500, 529])
def test_a_provider_may_say_that_asking_again_is_of_no_use(status, told, again):
    error = fail(status, **told)
    assert error.again is again
    assert error.retryable
