from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from llmproxy_grpc.providers.retry_after import duration, retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
DAY = 86400.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"retry-after": format_datetime(NOW - timedelta(days=9), usegmt=True)}, 0.0),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:05 -0000"}, 5.0),
        ({"retry-after": format_datetime(NOW + timedelta(days=9), usegmt=True)}, DAY),
        ({"retry-after": "99999999999999"}, DAY),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 99 Jan 2026 99:99:99 GMT"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "\u0665"}, None),
        ({"x-ratelimit-reset-requests": "7.66s"}, 7.66),
        ({"x-ratelimit-reset-requests": "1h2m3s"}, 3723.0),
        ({"x-ratelimit-reset-requests": "6"}, 6.0),
        ({"retry-after": "20s"}, 20.0),
        ({"retry-after": "1m30s"}, 90.0),
        ({"retry-after": "2026-01-01T12:00:05Z"}, 5.0),
        ({"x-ratelimit-reset-requests": "1767268830"}, 30.0),
        ({"x-ratelimit-reset": "1767268830000"}, 30.0),
        ({"x-ratelimit-reset": "1767225600"}, 0.0),
        ({"x-ratelimit-reset": "100000"}, DAY),
        ({"x-ratelimit-reset": "12", "x-ratelimit-remaining": "0", "x-ratelimit-reset-tokens": "1s"}, 12.0),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        (
            {
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "120ms",
                "x-ratelimit-remaining-tokens": "99",
            },
            360.0,
        ),
        ({"retry-after": "3", "x-ratelimit-reset-requests": "6m0s"}, 3.0),
        ({"anthropic-ratelimit-requests-reset": "2026-01-01T12:00:05Z"}, 5.0),
        ({"anthropic-ratelimit-tokens-reset": "2026-01-01T14:00:05.5+02:00"}, 5.5),
        ({"anthropic-ratelimit-tokens-reset": "2025-01-01T12:00:05Z"}, 0.0),
        ({"anthropic-ratelimit-tokens-reset": "2026-99-01T12:00:05Z"}, None),
        (
            {
                "anthropic-ratelimit-requests-reset": "2026-01-01T12:00:01Z",
                "anthropic-ratelimit-input-tokens-reset": "2026-01-01T12:00:30Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
            },
            30.0,
        ),
        ({"x-ratelimit-reset-requests": "tomorrow"}, None),
        (  # Cerebras has a window in each name
            {
                "x-ratelimit-remaining-requests-day": "1727",
                "x-ratelimit-reset-requests-day": "33011.382867097855",
                "x-ratelimit-remaining-tokens-minute": "0",
                "x-ratelimit-reset-tokens-minute": "11.382867097854614",
            },
            11.382867097854614,
        ),
        ({"x-ratelimit-remaining-requests-day": "0", "x-ratelimit-reset-requests-day": "33011.4"}, 33011.4),
        ({"ratelimitbysize-remaining": "0", "ratelimitbysize-reset": "28"}, 28.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "12"}, 12.0),
    ],
)
def test_the_wait_that_headers_ask_for(headers, seconds):
    assert retry_after(headers, NOW, rate_limited=True) == pytest.approx(seconds)


def test_names_are_found_in_any_case():
    assert retry_after(CIMultiDict({"Retry-After": "3"}), NOW, rate_limited=True) == 3


@pytest.mark.parametrize("text", ["", "s", "5", "-5s", "5 s", "5x", "1.s", "1e3s", "\u0665s", "5s "])
def test_what_is_no_duration(text):
    assert duration(text) is None


@given(st.text(), st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens"]))
def test_no_header_whatever_gives_more_than_a_day_or_less_than_nothing(text, name):
    seconds = retry_after({name: text}, NOW, rate_limited=True)
    assert seconds is None or 0 <= seconds <= DAY
