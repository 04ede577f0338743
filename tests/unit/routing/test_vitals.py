"""What is known of a target: what feeds it, and how it fades."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.calls import Attempt
from llmproxy_grpc.errors import (
    CallerCancelled,
    CapabilityNotSupported,
    ContextLengthExceeded,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    ModelNotFound,
    Outrun,
    ProxyOverloaded,
    UnsupportedParameter,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
)
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.vitals import FIRST_PAUSE, MEMORY, PENALTY, Vital
from tests.unit.routing.strategies.means import A, B, Bench

FAILED = UpstreamServerError("It failed.")


@pytest.fixture
def bench():
    return Bench("least_latency", (A, B))


def seconds(bench, target=A):
    return bench.vitals.of(target).seconds(bench.clock())


# The figure.


def test_a_peak_counts_at_once():
    vital = Vital()
    vital.succeed(0.1, 0.0)
    vital.succeed(3.0, 1.0)
    assert vital.seconds(1.0) == 3.0


def test_what_is_less_counts_by_and_by():
    vital = Vital()
    vital.succeed(3.0, 0.0)
    vital.succeed(1.0, MEMORY)
    share = math.exp(-1)
    assert vital.seconds(MEMORY) == pytest.approx(3 * share + 1 * (1 - share))


def test_what_nobody_sees_fades():
    vital = Vital()
    vital.succeed(3.0, 0.0)
    assert vital.seconds(MEMORY) == pytest.approx(3 / math.e)


@given(samples=st.lists(st.tuples(st.floats(0.001, 100), st.floats(0, 100)), min_size=1))
def test_the_figure_stays_among_what_was_seen(samples):
    vital, now = Vital(), 0.0
    for seen, later in samples:
        now += later
        vital.succeed(seen, now)
        assert seen * (1 - 1e-9) <= vital.seconds(now) <= max(each for each, _ in samples) * (1 + 1e-9)


# What feeds it.


def test_a_stream_tells_at_its_first_output(bench):
    bench.first_output(bench.begin(A), 0.7)
    assert seconds(bench) == 0.7
    assert bench.vitals.of(A).in_flight == 1


def test_the_end_of_a_stream_tells_nothing_more(bench):
    call = bench.begin(A)
    bench.first_output(call, 0.7)
    bench.end(call, 60.0, tokens=2000, first=0.7)
    assert seconds(bench) == 0.7
    assert bench.vitals.of(A).in_flight == 0


@pytest.mark.parametrize(("tokens", "expected"), [(None, 3.0), (0, 3.0), (25, 1.5), (125, 0.5)])
def test_an_answer_in_one_piece_counts_by_its_length(bench, tokens, expected):
    bench.end(bench.begin(A, "Chat"), 3.0, tokens=tokens)
    assert seconds(bench) == pytest.approx(expected)


@pytest.mark.parametrize("error", [None, ModelNotFound("No such place."), FAILED])
def test_counting_tells_nothing_of_generating(bench, error):
    bench.end(bench.begin(A, "CountTokens"), 0.01, error)
    assert not bench.vitals.of(A).known
    assert bench.vitals.of(A).in_flight == 0


@pytest.mark.parametrize(
    "error",
    [
        FAILED,
        UpstreamRateLimited("Slow down."),
        UpstreamTimeout("Late."),
        ModelNotFound("None."),
        InternalError("Ours."),
    ],
)
def test_a_failure_counts_as_a_long_wait(bench, error):
    bench.end(bench.begin(A), 0.001, error)
    assert seconds(bench) == PENALTY
    assert bench.vitals.of(A).failures == 1


def test_a_slow_failure_counts_as_long_as_it_took(bench):
    bench.end(bench.begin(A), 30.0, UpstreamTimeout("Late."))
    assert seconds(bench) == 30.0


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("Wrong."),
        UnsupportedParameter("Not there."),
        ContextLengthExceeded("Long."),
        CapabilityNotSupported("No."),
        ProxyOverloaded("Ours."),
    ],
)
def test_what_lies_with_the_request_or_with_us_tells_nothing(bench, error):
    bench.end(bench.begin(A), 0.001, error)
    assert not bench.vitals.of(A).known
    assert bench.vitals.of(A).in_flight == 0


@pytest.mark.parametrize("error", [CallerCancelled("Left."), DeadlineExceeded("Over."), Outrun("Slow.")])
def test_a_wait_in_vain_tells_how_long_it_takes_at_least(bench, error):
    bench.saw(A, 0.5)
    bench.end(bench.begin(A), 8.0, error)
    assert seconds(bench) == 8.0
    assert bench.vitals.of(A).failures == 0
    bench.end(bench.begin(A), 1.0, error)
    assert seconds(bench) == 8.0


def test_a_caller_who_leaves_a_running_stream_tells_nothing(bench):
    call = bench.begin(A)
    bench.first_output(call, 0.5)
    bench.end(call, 20.0, CallerCancelled("Left."), first=0.5)
    assert seconds(bench) == 0.5


def test_the_oldest_wait_counts_while_it_lasts(bench):
    bench.saw(A, 0.5)
    call = bench.begin(A)
    bench.clock.advance(4)
    bench.begin(A)
    assert seconds(bench) == 4.0
    bench.first_output(call, 4.0)
    bench.clock.advance(1)
    assert seconds(bench) == pytest.approx(4 * math.exp(-1 / MEMORY))


def test_a_success_forgives_the_failures(bench):
    bench.saw(A, 0.0, FAILED)
    bench.saw(A, 0.5)
    assert bench.vitals.of(A).failures == 0


# Held.


def test_each_failure_doubles_the_pause_up_to_the_memory():
    vital, now, pauses = Vital(), 0.0, []
    for _ in range(10):
        vital.fail(0.0, now)
        began = now
        while vital.held(now):
            now += FIRST_PAUSE / 2
        pauses.append(now - began)
    assert pauses[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8], abs=0.051)
    assert pauses[-1] == pytest.approx(MEMORY, abs=0.06)


@given(failures=st.integers(1, 10_000))
def test_the_pause_is_bounded_whatever_fails(failures):
    vital = Vital()
    vital.fail(0.0, 0.0)
    vital.failures = failures
    assert not vital.held(MEMORY + 0.1)


# Who is watched.


def test_who_is_not_watched_costs_and_keeps_nothing(bench):
    call = bench.begin(Target("x", "y"))
    bench.first_output(call, 1.0)
    bench.end(call, 1.0)
    assert not bench.vitals.of(Target("x", "y")).known


def test_what_is_known_outlives_a_reload(bench):
    bench.saw(A, 0.5)
    bench.vitals.watch([A])
    assert bench.vitals.of(A).known


def test_a_target_that_is_gone_is_kept_while_it_is_in_use(bench):
    call = bench.begin(B)
    bench.vitals.watch([A])
    bench.end(call, 1.0, FAILED)
    bench.vitals.watch([A])
    assert not bench.vitals.of(B).known


def test_an_attempt_that_began_before_it_was_watched_is_not_counted(bench):
    call = bench.begin(Target("x", "y"))
    bench.vitals.watch([Target("x", "y")])
    bench.vitals.attempt_ended(call, Attempt("x", "y", 1.0))
    assert bench.vitals.of(Target("x", "y")).in_flight == 0
