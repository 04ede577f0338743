from datetime import UTC

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.wire.scalars import fill_duration, fill_time, mended, to_seconds


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("plain \x00 ü 😀", "plain \x00 ü 😀"),
        ("\ud83d\ude00", "😀"),
        ("a\ud83db", "a\ufffdb"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\udc80", "\ufffd"),
    ],
)
def test_surrogates_are_joined_or_replaced(text, whole):
    assert mended(text) == whole


@given(st.text(st.characters()))
def test_mended_text_can_be_encoded(text):
    assert mended(mended(text).encode().decode()) == mended(text)


@given(st.floats(0, 1e6))
def test_a_duration_is_exact_to_the_nanosecond(seconds):
    duration = Duration()
    fill_duration(duration, seconds)
    assert 0 <= duration.nanos < 10**9
    assert abs(to_seconds(duration) - seconds) < 1e-9


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_exact_to_the_microsecond(time):
    stamp = Timestamp()
    fill_time(stamp, time)
    assert stamp.ToDatetime(UTC) == time
