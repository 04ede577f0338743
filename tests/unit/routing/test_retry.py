"""Error classes, waits and the budget of retries, by themselves."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llmproxy_grpc import errors
from llmproxy_grpc.config.schema import RetriesConfig
from llmproxy_grpc.errors import ProxyError, UpstreamRateLimited, UpstreamServerError, UpstreamUnreachable
from llmproxy_grpc.routing.retry import CLASSES, TREATMENTS, ErrorClass, Retries, RetryBudget, class_of
from llmproxy_grpc.routing.window import Window
from tests.fakes.clock import FakeClock


async def no_sleep(_seconds):
    pass


def retries(clock=None, seed=7, **config) -> Retries:
    return Retries(RetriesConfig(**config), clock=clock or FakeClock(), random=Random(seed), sleep=no_sleep)


def kinds(kind=ProxyError):
    for each in kind.__subclasses__():
        yield each
        yield from kinds(each)


def test_every_class_of_errors_but_committed_has_a_treatment():
    assert set(TREATMENTS) == set(ErrorClass)


def test_only_errors_that_lead_to_another_attempt_have_a_class_that_does():
    for kind in kinds():
        if kind.reason:
            assert kind.failover or class_of(kind("It failed.")) is ErrorClass.FATAL
    assert all(kind.failover for kind in CLASSES)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (errors.UpstreamUnreachable, "never_sent"),
        (errors.UpstreamRateLimited, "throttled"),
        (errors.UpstreamOverloaded, "throttled"),
        (errors.UpstreamServerError, "transient"),
        (errors.UpstreamTimeout, "ambiguous"),
        (errors.UpstreamProtocolError, "ambiguous"),
        (errors.CredentialsRejected, "fatal"),
        (errors.UpstreamQuotaExhausted, "fatal"),
        (errors.InvalidRequest, "fatal"),
        (errors.ContextLengthExceeded, "fatal"),
    ],
)
def test_the_class_of_an_error_is_data(kind, name):
    assert class_of(kind("It failed.")).value == name


@pytest.mark.parametrize(
    ("asked", "previous", "allowed"),
    [
        (None, 0, 3),
        (1, 0, 1),
        (2, 0, 2),
        (6, 0, 3),
        (0, 0, 3),
        (-1, 0, 3),
        (None, 1, 2),
        (1, 1, 1),
        (None, 2, 1),
        (None, 9, 1),
    ],
)
def test_attempts_are_fewer_if_the_callers_library_has_tried_before(asked, previous, allowed):
    assert retries().allowed(asked, previous) == allowed


def test_the_wait_is_full_jitter_over_a_span_that_doubles_to_two_seconds():
    policy = retries()
    for times, longest in ((1, 0.05), (2, 0.1), (4, 0.4), (12, 2.0)):
        waits = [policy.wait(UpstreamServerError("It failed."), times, 100.0) for _ in range(500)]
        assert 0 <= min(waits) < longest * 0.1
        assert longest * 0.9 < max(waits) <= longest
    waits = [policy.wait(UpstreamRateLimited("Slow down."), 1, 100.0) for _ in range(500)]
    assert 0.9 < max(waits) <= 1.0


def test_waits_are_the_same_under_the_same_seed():
    def waits(seed):
        policy = retries(seed=seed)
        return [policy.wait(UpstreamServerError("It failed."), times, 100.0) for times in range(1, 9)]

    assert waits(1) == waits(1) != waits(2)


@pytest.mark.parametrize(
    ("asked", "remaining", "honoured"),
    [(4, 100, True), (5.0, 10, True), (5.1, 100, False), (4, 7, False), (0, 1, True)],
)
def test_a_wait_that_the_provider_asks_for_is_honoured_within_reason(asked, remaining, honoured):
    wait = retries().wait(UpstreamRateLimited("Slow down.", retry_after=asked), 1, remaining)
    assert asked <= wait <= asked + 0.05 if honoured else wait is None


@pytest.mark.parametrize("error", [UpstreamUnreachable("No connection."), errors.CredentialsRejected("No.")])
def test_some_targets_are_never_asked_again(error):
    assert retries().wait(error, 1, 100.0) is None


def test_a_target_is_not_asked_again_if_its_provider_says_so():
    error = UpstreamServerError("It failed.")
    error.again = False
    assert retries().wait(error, 1, 100.0) is None


def test_a_budget_starts_with_ten_and_a_retry_that_cannot_be_paid_costs_nothing():
    budget = RetryBudget(0.1)
    assert [budget.withdraw(1.4, 1000.0) for _ in range(8)] == [True] * 7 + [False]
    assert budget.balance(1000.0) == pytest.approx(0.2)
    assert budget.withdraw(0.0, 1000.0)


def test_what_came_in_counts_for_ten_seconds_and_the_floor_for_ever():
    budget = RetryBudget(0.5)
    for _ in range(100):
        budget.deposit(1000.0)
    assert budget.balance(1009.9) == pytest.approx(60.0)
    assert budget.balance(1010.0) == pytest.approx(10.0)
    assert budget.balance(10**9) == pytest.approx(10.0)


@pytest.mark.parametrize("ratio", [0.1, 0.5])
def test_a_reload_goes_on_with_what_is_left_of_a_budget(ratio):
    clock = FakeClock()
    before, after, other = retries(clock), retries(clock, budget_ratio=ratio), retries(clock)
    while before.budget("a").withdraw(1.4, clock()):
        pass
    after.adopt(before, ["a", "b"])
    other.adopt(before, [])
    assert after.budget("a").balance(clock()) == pytest.approx(0.2)
    assert other.budget("a").balance(clock()) == pytest.approx(10.0)
    after.budget("a").deposit(clock())
    assert after.budget("a").balance(clock()) == pytest.approx(0.2 + ratio)
    # What still runs pays as well, where it began and where it had not been yet.
    before.budget("b").withdraw(1.4, clock())
    assert after.budget("b").balance(clock()) == pytest.approx(8.6)


class Budget(RuleBasedStateMachine):
    """Any traffic, any gaps: what is paid out is bounded by what came in and by the floor."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.budget = RetryBudget(0.1)
        self.calls = 0
        self.paid = 0.0

    @rule(count=st.integers(1, 200))
    def called(self, count):
        for _ in range(count):
            self.budget.deposit(self.now)
        self.calls += count

    @rule(cost=st.sampled_from([0.5, 1.4]), count=st.integers(1, 30))
    def failed(self, cost, count):
        for _ in range(count):
            self.paid += cost if self.budget.withdraw(cost, self.now) else 0.0

    @rule(seconds=st.floats(0, 30))
    def passed(self, seconds):
        self.now += seconds

    @invariant()
    def bounded(self):
        windows = int((self.now - 1000.0) / 10) + 2  # a window begins and ends on whole seconds
        assert self.paid <= 0.1 * self.calls + 10 * windows + 1e-6


TestBudget = Budget.TestCase


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 100)), max_size=50))
def test_a_window_is_the_sum_of_its_last_ten_seconds(amounts):
    window, now, added = Window(), 0.0, []
    for gap, amount in amounts:
        now += gap
        window.add(amount, now)
        added.append((now, amount))
        assert window.total(now) == pytest.approx(sum(each for at, each in added if int(at) > int(now) - 10))
