"""The circuits of all targets: rests, benches, credentials that take turns, and what every error says."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from structlog.testing import capture_logs

from llmproxy_grpc import errors
from llmproxy_grpc.calls import Attempt
from llmproxy_grpc.config.schema import BreakerConfig
from llmproxy_grpc.errors import (
    CredentialsRejected,
    Fault,
    NoProviderAvailable,
    ProxyError,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
)
from llmproxy_grpc.routing.breaker import State
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.circuits import MOST_LINES, Circuits
from llmproxy_grpc.routing.outage import Outage, OutageKind
from tests.fakes.clock import FakeClock

A, B = Target("a", "m"), Target("a", "other")
FAILED = UpstreamServerError("It failed.")


class Circle:
    """Circuits, a clock and what they told."""

    def __init__(self, credentials: int = 1, groups: Sequence[Sequence[Target]] = (), **config: float) -> None:
        self.clock = FakeClock()
        self.told: list[Outage] = []
        self.circuits = Circuits(
            BreakerConfig(**config),
            credentials={"a": credentials},
            clock=self.clock,
            random=Random(5),
            groups=groups,
            tell=self.told.append,
        )

    def attempt(self, error: ProxyError | None = None, target: Target = A, *, seconds=0.1, **how) -> int | None:
        """Makes an attempt; gives the credential that it used, None if none was admitted."""
        permit = self.circuits.admit(target, trial=how.pop("trial", False))
        if permit is None:
            return None
        ended = Attempt(target.provider, target.upstream_model, seconds, error)
        self.circuits.ended(target, permit, ended, **{"streaming": False, "hurried": False, **how})
        return permit.circuit.credential.index

    def stream(self, error: ProxyError | None = None, *, first=0.1) -> None:
        """Makes a stream whose first output comes, and which may break."""
        permit = self.circuits.admit(A)
        self.circuits.first_output(A, permit, first)
        ended = Attempt("a", "m", first + 1, error, None, first)
        self.circuits.ended(A, permit, ended, streaming=True, hurried=False)


def refused(status: int) -> CredentialsRejected:
    return CredentialsRejected("No.", fault=Fault(http_status=status))


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (errors.UpstreamServerError("x"), True),
        (errors.UpstreamUnreachable("x"), True),
        (errors.UpstreamProtocolError("x"), True),
        (errors.UpstreamTimeout("x"), True),
        (errors.InvalidRequest("x"), False),
        (errors.ContextLengthExceeded("x"), False),
        (errors.PromptBlocked("x"), False),
        (errors.ModelNotFound("x"), False),
        (errors.CallerCancelled("x"), False),
        (errors.Outrun("x"), False),
        (errors.DeadlineExceeded("x"), False),
        (errors.ProxyOverloaded("x"), False),
        (errors.InternalError("x"), False),
    ],
)
def test_only_what_is_the_targets_fault_opens_its_circuit(error, counts):
    circle = Circle()
    for _ in range(5):
        assert circle.attempt(error) == 0
    assert circle.circuits.available(A) is not counts
    assert circle.circuits.states() == {"a": State.OPEN if counts else State.CLOSED}
    assert [news.kind for news in circle.told] == [OutageKind.OPEN] * counts


def test_one_model_of_a_provider_may_be_out_while_another_serves():
    circle = Circle()
    for _ in range(5):
        circle.attempt(FAILED)
    assert not circle.circuits.available(A)
    assert circle.circuits.available(B)


@pytest.mark.parametrize(("asked", "rest"), [(None, 1), (0, 1), (7, 7), (999_999, 60)])
def test_a_rate_limit_is_a_rest_and_no_failure(asked, rest):
    circle = Circle()
    for _ in range(20):
        circle.attempt(UpstreamRateLimited("Slow down.", retry_after=asked))
        circle.clock.advance(rest - 0.01)
        assert not circle.circuits.available(A)
        circle.clock.advance(0.02)
        assert circle.circuits.available(A)
    assert circle.circuits.states() == {"a": State.CLOSED}


def test_a_rest_is_never_shortened():
    circle = Circle()
    first, second = circle.circuits.admit(A), circle.circuits.admit(A)
    for permit, asked in ((first, 30), (second, 2)):
        attempt = Attempt("a", "m", 0.1, UpstreamRateLimited("Slow down.", retry_after=asked))
        circle.circuits.ended(A, permit, attempt, streaming=False, hurried=False)
    circle.clock.advance(29)
    assert not circle.circuits.available(A)


def test_credentials_take_turns_and_the_one_that_is_limited_rests():
    circle = Circle(credentials=3)
    assert [circle.attempt() for _ in range(4)] == [0, 1, 2, 0]
    assert circle.attempt(UpstreamRateLimited("Slow down.", retry_after=10)) == 1
    assert [circle.attempt() for _ in range(4)] == [2, 0, 2, 0]
    circle.clock.advance(10)
    assert 1 in [circle.attempt() for _ in range(3)]


def test_each_credential_has_a_circuit_of_its_own_and_the_others_serve_on():
    circle = Circle(credentials=2)
    for _ in range(10):
        permit = circle.circuits.admit(A)
        ended = Attempt("a", "m", 0.1, FAILED if permit.circuit.credential.index == 1 else None)
        circle.circuits.ended(A, permit, ended, streaming=False, hurried=False)
    assert [(news.kind, news.credential) for news in circle.told] == [(OutageKind.OPEN, 1)]
    assert [circle.attempt() for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("status", [401, 498])
def test_a_credential_that_is_refused_is_benched_for_every_model(status):
    circle = Circle(credentials=2)
    assert circle.attempt(refused(status)) == 0
    for target in (A, B):
        assert [circle.attempt(target=target) for _ in range(3)] == [1, 1, 1]
    assert circle.told == [Outage(OutageKind.BENCHED, "a", "", 0, circle.clock() + 300)]
    circle.clock.advance(300)
    assert {circle.attempt() for _ in range(2)} == {0, 1}


@pytest.mark.parametrize("status", [401, 403])
def test_a_credential_is_logged_once_and_not_by_every_call_that_was_under_way(status):
    circle = Circle()
    permits = [circle.circuits.admit(A) for _ in range(3)]
    with capture_logs() as logged:
        for permit in permits:
            circle.circuits.ended(A, permit, Attempt("a", "m", 0.1, refused(status)), streaming=False, hurried=False)
        circle.clock.advance(301)
        assert circle.attempt(refused(status)) == 0
    assert [(entry["event"], entry["http_status"]) for entry in logged] == [("credential_benched", status)] * 2


def test_a_credential_that_may_not_use_a_model_is_benched_for_that_alone():
    circle = Circle(credentials=2)
    assert circle.attempt(refused(403)) == 0
    assert [circle.attempt() for _ in range(2)] == [1, 1]
    assert {circle.attempt(target=B) for _ in range(2)} == {0, 1}


def test_the_only_credential_is_tried_every_ten_seconds_and_taken_back_if_it_works():
    circle = Circle()
    circle.attempt(refused(401))
    assert circle.attempt(trial=True) is None
    assert isinstance(circle.circuits.refusal([A]), CredentialsRejected)
    circle.clock.advance(10)
    assert circle.attempt() is None
    assert circle.attempt(refused(401), trial=True) == 0
    assert circle.attempt(trial=True) is None
    circle.clock.advance(10)
    assert circle.attempt(trial=True) == 0
    assert circle.circuits.available(A)


def test_a_credential_that_there_is_not_yet_is_not_benched():
    circle = Circle()
    circle.attempt(refused(0))
    assert circle.circuits.available(A)


def test_a_callers_short_limits_say_nothing_of_a_target_that_usually_takes_longer():
    circle = Circle()
    for _ in range(50):
        circle.attempt(seconds=2.0)
    for _ in range(10):
        circle.attempt(errors.DeadlineExceeded("Late."), seconds=5.9)
        circle.attempt(UpstreamTimeout("Late."), seconds=5.9, hurried=True)
    assert circle.circuits.available(A)
    for _ in range(5):
        circle.attempt(errors.DeadlineExceeded("Late."), seconds=6.1)
    assert not circle.circuits.available(A)


def test_streams_whose_first_output_is_three_times_slower_than_usual_open_it():
    circle = Circle()
    for _ in range(30):
        circle.stream(first=1.0)
    circle.clock.advance(11)
    for _ in range(20):
        if circle.circuits.available(A):
            circle.stream(first=9.0)
    assert not circle.circuits.available(A)


def test_long_answers_in_one_piece_are_not_slow():
    circle = Circle()
    for seconds in [0.1] * 30 + [50.0] * 30:
        circle.attempt(seconds=seconds)
    assert circle.circuits.available(A)


def test_streams_that_always_break_after_their_first_output_open_it():
    circle = Circle()
    for _ in range(5):
        circle.stream(errors.UpstreamStreamBroken("It broke."))
    assert not circle.circuits.available(A)


def test_the_refusal_says_what_is_in_the_way_and_how_long():
    circle = Circle()
    circle.attempt(UpstreamRateLimited("Slow down.", retry_after=9))
    limited = circle.circuits.refusal([A])
    assert (type(limited), limited.retry_after) == (UpstreamRateLimited, 9)
    for _ in range(5):
        circle.attempt(FAILED, B)
    out = circle.circuits.refusal([A, B])
    assert isinstance(out, NoProviderAvailable)
    assert out.message == "No target of the model takes calls now."  # one is open, the other merely rests
    assert out.retry_after == 1  # when the next call is let through all the same, however long the circuit stays open


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ([errors.UpstreamOverloaded], errors.UpstreamOverloaded),
        ([errors.UpstreamQuotaExhausted], errors.UpstreamQuotaExhausted),
        ([errors.UpstreamQuotaExhausted, errors.UpstreamOverloaded], errors.UpstreamOverloaded),
        ([errors.UpstreamOverloaded, errors.UpstreamRateLimited], UpstreamRateLimited),
    ],
)
def test_who_rests_does_so_for_a_reason(kinds, told):
    circle = Circle()
    targets = [Target("a", f"m{number}") for number in range(len(kinds))]
    for target, kind in zip(targets, kinds, strict=True):
        circle.attempt(kind("x"), target)
    assert type(circle.circuits.refusal(targets)) is told


def test_callers_that_make_up_names_cost_bounded_memory():
    circle = Circle()
    for _ in range(5):
        circle.attempt(FAILED)
    for number in range(3 * MOST_LINES):
        circle.attempt(target=Target("a", f"m{number}"))
    assert len(circle.circuits._lines) <= MOST_LINES
    assert not circle.circuits.available(A)


def test_made_up_names_that_are_limited_make_room_by_the_half_and_never_take_a_configured_targets():
    """Else each further one would look through all of them for room, on the way of a call."""
    limited = UpstreamRateLimited("x", retry_after=60)
    circle = Circle(groups=[[A]])
    circle.attempt(FAILED)
    for number in range(MOST_LINES + 1):
        circle.attempt(limited, Target("a", f"m{number}"))
    assert len(circle.circuits._lines) <= MOST_LINES // 2 + 2
    assert not circle.circuits.available(Target("a", f"m{MOST_LINES}"))
    for _ in range(4):
        circle.attempt(FAILED)
    assert not circle.circuits.available(A)


OUTCOMES = [
    None,
    FAILED,
    UpstreamRateLimited("x", retry_after=3),
    UpstreamRateLimited("x", retry_after=300),
    refused(401),
    refused(403),
    errors.UpstreamQuotaExhausted("x"),
    errors.InvalidRequest("x"),
    errors.DeadlineExceeded("x"),
    errors.CallerCancelled("x"),
]


class Machine(RuleBasedStateMachine):
    """Any outcomes and gaps: a target is never locked out for good, and no credential out of turn is used."""

    def __init__(self):
        super().__init__()
        self.circle = Circle(credentials=2)
        self.began = self.circle.clock()

    @rule(
        outcome=st.sampled_from(OUTCOMES),
        seconds=st.sampled_from([0.1, 1.5, 4.0, 20.0]),
        trial=st.booleans(),
        whom=st.sampled_from([A, B]),
    )
    def attempt(self, outcome, seconds, trial, whom):
        line = self.circle.circuits.line(whom)
        before = [circuit.rests_until for circuit in line.circuits]
        available = self.circle.circuits.available(whom)
        used = self.circle.attempt(outcome, whom, seconds=seconds, trial=trial)
        assert (used is not None) or not available
        if used is not None:
            assert before[used] <= self.circle.clock()
        assert all(new.rests_until >= old for new, old in zip(line.circuits, before, strict=True))

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds):
        self.circle.clock.advance(seconds)

    @invariant()
    def a_refusal_names_a_wait_that_is_enough(self):
        for target in (A, B):
            line, now = self.circle.circuits.line(target), self.circle.clock()
            assert line.wait(now) <= 300.001
            if line.available(now):
                assert line.wait(now) == 0
            else:
                assert line.available(now + line.wait(now) + 0.001)

    @invariant()
    def nobody_is_silent_for_longer_than_time_has_passed(self):
        for line in map(self.circle.circuits.line, (A, B)):
            assert 0 <= line.silent <= self.circle.clock() - self.began + 20
            assert line.silent_until <= self.circle.clock()

    @invariant()
    def the_worst_state_is_one_of_three(self):
        assert set(self.circle.circuits.states().values()) <= set(State)


TestMachine = Machine.TestCase


def test_a_target_that_was_ejected_gets_its_calls_back_little_by_little():
    circle = Circle()
    circle.circuits.learn(Outage(OutageKind.EJECTED, "a", "m", -1, circle.clock() + 30))

    def welcomes() -> int:
        return sum(circle.circuits.welcome(A) for _ in range(1000))

    assert welcomes() == 0
    circle.clock.advance(30)
    shares = [welcomes()]
    for _ in range(3):
        circle.clock.advance(5)
        shares.append(welcomes())
    assert shares[0] == 0
    assert shares[1] == pytest.approx(333, abs=60)
    assert shares[2] == pytest.approx(667, abs=60)
    assert shares[3] == 1000
    assert circle.circuits.welcome(B)  # of which nothing is known


def test_a_target_that_has_just_returned_may_be_called_where_there_is_no_other():
    circle = Circle()
    circle.circuits.learn(Outage(OutageKind.EJECTED, "a", "m", -1, circle.clock() + 30))
    circle.clock.advance(30)
    assert not circle.circuits.welcome(A)
    assert circle.attempt() == 0
