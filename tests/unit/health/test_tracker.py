from datetime import UTC, datetime

import pytest

from llmproxy_grpc.calls import Attempt
from llmproxy_grpc.errors import (
    CallerCancelled,
    CredentialsRejected,
    DeadlineExceeded,
    InvalidRequest,
    ProxyOverloaded,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
)
from llmproxy_grpc.health.tracker import HealthTracker
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def tracker(clock):
    return HealthTracker(clock, lambda: datetime.now(UTC))


def fail(tracker, times=1, error=None):
    for _ in range(times):
        tracker.record("p", error or UpstreamServerError("x"))


def test_without_evidence_a_provider_serves(tracker):
    assert tracker.serving("p")
    assert tracker.state("p").serving
    assert tracker.state("p").checked is None


def test_three_failures_in_a_row_take_it_down_and_two_successes_bring_it_back(tracker):
    fail(tracker, 2)
    assert tracker.serving("p")
    fail(tracker)
    assert not tracker.serving("p")
    tracker.record("p", None)
    assert not tracker.serving("p")
    tracker.record("p", None)
    assert tracker.serving("p")


def test_a_success_between_failures_starts_the_count_anew(tracker):
    for _ in range(5):
        fail(tracker, 2)
        tracker.record("p", None)
    assert tracker.serving("p")


@pytest.mark.parametrize(
    "error",
    [
        CallerCancelled("x"),
        DeadlineExceeded("x"),
        InvalidRequest("x"),
        UpstreamRateLimited("x"),
        UpstreamQuotaExhausted("x"),
        ProxyOverloaded("x"),
    ],
)
def test_what_is_not_the_providers_illness_says_nothing(tracker, error):
    fail(tracker, 10, error)
    assert tracker.serving("p")
    assert tracker.state("p").error_rate == 0.0


@pytest.mark.parametrize("error", [UpstreamTimeout("x"), CredentialsRejected("x")])
def test_timeouts_and_refused_credentials_count(tracker, error):
    fail(tracker, 3, error)
    assert not tracker.serving("p")
    assert tracker.state("p").last_error is error


def test_the_error_rate_is_that_of_the_last_minute(tracker, clock):
    fail(tracker, 2)
    tracker.record("p", None)
    tracker.record("p", None)
    assert tracker.state("p").error_rate == 0.5
    clock.advance(61)
    assert tracker.state("p").error_rate == 0.0


def test_times_to_first_token_have_percentiles(tracker):
    for number in range(1, 101):
        tracker.record("p", None, number / 100)
    state = tracker.state("p")
    assert state.first_token_p50 == pytest.approx(0.505)
    assert state.first_token_p95 == pytest.approx(0.9505)


def test_providers_that_are_gone_are_forgotten(tracker):
    fail(tracker, 3)
    tracker.record("q", None)
    tracker.attempt_started(None, "p", "m")
    tracker.keep({"q"})
    assert tracker.serving("p")
    tracker.attempt_ended(None, Attempt("p", "m", 1.0))
    assert tracker.state("p").in_flight == 0
    assert tracker.state("q").checked is not None


def test_a_provider_that_comes_back_has_those_attempts_in_flight_that_are(tracker):
    tracker.attempt_started(None, "p", "m")
    tracker.keep(set())
    tracker.keep({"p"})
    assert tracker.in_flight("p") == tracker.state("p").in_flight == 1
    tracker.attempt_started(None, "p", "m")
    tracker.attempt_ended(None, Attempt("p", "m", 1.0))
    assert tracker.in_flight("p") == 1
    tracker.attempt_ended(None, Attempt("p", "m", 1.0))
    assert tracker.in_flight("p") == tracker.state("p").in_flight == 0
