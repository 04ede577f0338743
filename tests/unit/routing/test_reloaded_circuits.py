"""What is known of targets when a reload builds new circuits."""

from llmproxy_grpc.errors import UpstreamRateLimited
from tests.unit.routing.test_circuits import FAILED, A, B, Circle


def test_a_reload_keeps_what_is_known_of_providers_that_stay_as_they_were():
    before, after, others = Circle(), Circle(), Circle()
    for _ in range(5):
        before.attempt(FAILED)
    after.circuits.adopt(before.circuits, {"a"})
    others.circuits.adopt(before.circuits, set())
    assert not after.circuits.available(A)
    assert others.circuits.available(A)


def test_a_reload_with_other_settings_of_circuits_forgets_nothing_and_judges_by_them():
    before, after = Circle(), Circle(consecutive_failures=2)
    for _ in range(5):
        before.attempt(FAILED)
    before.attempt(UpstreamRateLimited("Slow down.", retry_after=7), B)
    after.circuits.adopt(before.circuits, {"a"})
    assert not after.circuits.available(A)
    assert not after.circuits.available(B)
    after.clock.advance(7.01)
    assert after.circuits.available(B)
    for _ in range(2):
        assert after.circuits.available(B)
        after.attempt(FAILED, B)
    assert not after.circuits.available(B)


def test_a_reload_that_lets_circuits_be_open_for_less_holds_for_those_that_are_open():
    before, after = Circle(open=600, max_open=600), Circle(open=1, max_open=2)
    for _ in range(5):
        before.attempt(FAILED)
    after.circuits.adopt(before.circuits, {"a"})
    assert not after.circuits.available(A)
    after.clock.advance(2.5)
    assert after.circuits.available(A)
