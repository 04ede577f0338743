"""Targets that nobody hears: what callers who give up tell of them, each by itself and all together."""

import pytest

from llmproxy_grpc import errors
from llmproxy_grpc.errors import Fault, UpstreamRateLimited, UpstreamTimeout
from llmproxy_grpc.routing.breaker import State
from tests.unit.routing.test_circuits import A, Circle


def opens_after(circle, seconds, error=errors.DeadlineExceeded, **how):
    """When the circuit opens if callers wait for so long in vain, one after the other; None if not in 100 s."""
    began = circle.clock()
    while circle.clock() - began < 100:
        circle.clock.advance(seconds)
        circle.attempt(error("Late."), seconds=seconds, **how)
        if not circle.circuits.available(A):
            return circle.clock() - began
    return None


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("usual", "seconds", "after"),
    [
        (0.0, 6.0, 30),
        (0.0, 4.9, 29.4),  # the second has waited for five seconds together with the first, and it takes five of those
        (0.0, 2.0, 14),
        (0.0, 1.0, 9),
        (0.0, 0.9, None),  # in a hurry: who knows how long it takes?
        (2.0, 5.9, 35.4),
        (2.0, 2.0, 14),
        (2.0, 1.9, None),
        (0.2, 0.5, 7),
        (0.2, 0.2, 5.8),
        (0.2, 0.1, None),
    ],
)
def test_a_target_that_nobody_hears_opens_its_circuit_however_little_patience_its_callers_have(
    usual, seconds, after, streaming
):
    circle = Circle()
    for _ in range(30 if usual else 0):
        if streaming:
            circle.stream(first=usual)
        else:
            circle.attempt(seconds=usual)
    opened = opens_after(circle, seconds, streaming=streaming)
    assert opened == (None if after is None else pytest.approx(after, abs=seconds / 2))


def test_limits_that_callers_set_themselves_tell_as_much_as_their_deadlines():
    assert opens_after(Circle(), 2.0, UpstreamTimeout, hurried=True) == 14


@pytest.mark.parametrize("heard", [None, UpstreamRateLimited("x", fault=Fault(http_status=429))])
def test_whoever_is_heard_is_not_silent(heard):
    """And those who waited while it spoke have not waited in vain for so long."""
    circle = Circle()
    for _ in range(40):
        for error, seconds in (
            (errors.DeadlineExceeded("Late."), 2),
            (errors.DeadlineExceeded("Late."), 2),
            (heard, 1),
        ):
            circle.clock.advance(seconds)
            circle.attempt(error, seconds=seconds, streaming=error is not None)
        circle.clock.advance(1)
        circle.attempt(errors.DeadlineExceeded("Late."), seconds=2, streaming=True)
        circle.attempt(heard, seconds=0.1)
        circle.clock.advance(60)
    assert circle.circuits.states() == {"a": State.CLOSED}
    assert circle.circuits.available(A)


def test_callers_who_wait_together_count_once():
    circle = Circle()
    for _ in range(2):
        circle.clock.advance(2)
        for _ in range(50):
            assert circle.attempt(errors.DeadlineExceeded("Late."), seconds=2) == 0
    assert circle.circuits.available(A)
    circle.clock.advance(2)
    for _ in range(5):
        assert circle.attempt(errors.DeadlineExceeded("Late."), seconds=2) == 0
    assert not circle.circuits.available(A)


def test_callers_in_a_hurry_say_nothing_of_a_silent_target_either():
    circle = Circle()
    assert opens_after(circle, 2.0) == 14
    circle.clock.advance(300)
    for _ in range(20):
        assert circle.attempt(errors.DeadlineExceeded("Late."), seconds=0.5) == 0
    assert circle.circuits.states() == {"a": State.HALF_OPEN}
