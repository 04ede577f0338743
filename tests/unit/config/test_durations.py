import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.config.durations import LONGEST, parse_duration, spell_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0.0),
        (1.5, 1.5),
        ("30", 30.0),
        ("250ms", 0.25),
        ("30s", 30.0),
        ("1.5 s", 1.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("30d", 2592000.0),
    ],
)
def test_a_duration_is_read_as_seconds(written, seconds):
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (-1, "negative"),
        ("-1s", "negative"),
        (math.nan, "finite"),
        (math.inf, "finite"),
        (10**400, "ten years"),
        ("9" * 15 + "h", "ten years"),
        ("9" * 400, "one number and one unit"),
        (True, "number of seconds"),
        (None, "number of seconds"),
        ([1], "number of seconds"),
        ("", "one number and one unit"),
        ("s", "one number and one unit"),
        ("1h30m", "one number and one unit"),
        ("1e3", "one number and one unit"),
        (" 1s", "one number and one unit"),
        ("٣s", "one number and one unit"),
        ("5 weeks", "unknown unit"),
        ("5M", "unknown unit"),
    ],
)
def test_what_is_no_duration_is_refused_with_its_reason(written, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_duration(written)


@given(st.integers(0, int(LONGEST) * 1000))
def test_a_duration_is_the_same_after_spelling_and_reading(milliseconds):
    assert parse_duration(spell_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=0.0005)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.booleans(), st.binary()))
def test_reading_gives_finite_seconds_or_a_value_error(written):
    try:
        seconds = parse_duration(written)
    except ValueError:
        return
    assert 0 <= seconds <= LONGEST
