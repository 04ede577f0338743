"""What one process has learned of targets, and the others take from it."""

import msgspec
import pytest

from llmproxy_grpc import errors
from llmproxy_grpc.errors import UpstreamRateLimited
from llmproxy_grpc.routing.breaker import State
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.outage import OutageKind
from llmproxy_grpc.workers.outages import DECODER, News
from tests.unit.routing.test_circuits import FAILED, A, B, Circle, refused


def test_what_one_process_tells_another_learns():
    one, other = Circle(credentials=2), Circle(credentials=2)
    one.attempt(UpstreamRateLimited("Slow down.", retry_after=9))
    one.attempt(refused(401), B)
    for _ in range(5):
        one.attempt(FAILED, Target("a", "third"))
    for news in one.told:
        other.circuits.learn(news)
    assert [other.attempt() for _ in range(2)] == [1, 1]
    assert {other.attempt(target=B) for _ in range(2)} == {1}
    assert other.told == []
    assert one.circuits.states() == other.circuits.states() == {"a": State.OPEN}


@pytest.mark.parametrize("kind", [errors.UpstreamRateLimited, errors.UpstreamOverloaded, errors.UpstreamQuotaExhausted])
def test_a_rest_that_another_process_tells_of_is_refused_for_the_same_reason(kind):
    one, other = Circle(), Circle()
    for earlier in (UpstreamRateLimited("x"), errors.UpstreamQuotaExhausted("x")):  # neither is the reason any more
        other.attempt(earlier)
        other.clock.advance(60.0)
        one.clock.advance(60.0)
    one.attempt(kind("x", retry_after=9))
    for news in one.told:
        other.circuits.learn(DECODER.decode(msgspec.msgpack.encode(News(b"", news))).outage)
    mine, theirs = one.circuits.refusal([A]), other.circuits.refusal([A])
    assert (type(theirs), theirs.message, theirs.retry_after) == (kind, mine.message, mine.retry_after)


def test_a_shorter_rest_elsewhere_does_not_change_why_a_target_rests():
    one, other = Circle(), Circle()
    one.attempt(UpstreamRateLimited("x"))
    other.attempt(errors.UpstreamQuotaExhausted("x"))
    for news in one.told:
        other.circuits.learn(news)
    assert type(other.circuits.refusal([A])) is errors.UpstreamQuotaExhausted


@pytest.mark.parametrize("status", [401, 403])
def test_that_a_credential_is_taken_again_is_told_and_the_others_use_it(status):
    circle, other = Circle(), Circle()
    circle.attempt(refused(status))
    circle.clock.advance(10)
    other.clock.advance(10)
    assert circle.attempt(trial=True) == 0
    benched, reinstated = circle.told
    assert (benched.kind, reinstated.kind) == (OutageKind.BENCHED, OutageKind.REINSTATED)
    other.circuits.learn(benched)
    assert other.attempt() is None
    other.circuits.learn(reinstated)
    assert other.attempt() == 0
    circle.attempt()
    assert circle.told[2:] == []
