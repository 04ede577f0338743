"""The circuit breaker by itself, under a clock that a test moves."""

from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from llmproxy_grpc.config.schema import BreakerConfig
from llmproxy_grpc.routing.breaker import BETWEEN_TRIALS, Breaker, State

NOW = 1000.0


def breaker(**config) -> Breaker:
    return Breaker(BreakerConfig(**config), Random(7))


def opened(**config) -> Breaker:
    it = breaker(**config)
    for _ in range(5):
        it.fail(NOW)
    assert it.state(NOW) is State.OPEN
    return it


def probe(it: Breaker, now: float) -> int:
    assert it.admits(now)
    return it.begin(now)


def test_five_failures_in_a_row_open_it_and_a_success_between_does_not():
    it = breaker()
    for _ in range(4):
        it.fail(NOW)
    it.succeed(NOW)
    for _ in range(4):
        it.fail(NOW)
    assert it.admits(NOW)
    it.fail(NOW)
    assert not it.admits(NOW)


@pytest.mark.parametrize(("calls", "opens"), [(18, False), (20, True)])
def test_half_of_at_least_twenty_calls_in_ten_seconds_open_it(calls, opens):
    it = breaker()
    for _ in range(calls // 2):
        it.succeed(NOW)
        it.fail(NOW)
    assert it.admits(NOW) is not opens


def test_what_was_more_than_ten_seconds_ago_does_not_count():
    it = breaker(consecutive_failures=100)
    for _ in range(19):
        it.fail(NOW)
    it.succeed(NOW + 10)
    it.fail(NOW + 10)
    assert it.admits(NOW + 10)


@pytest.mark.parametrize(("slow", "opens"), [(15, False), (16, True)])
def test_four_of_five_calls_that_are_slow_open_it(slow, opens):
    it = breaker()
    for _ in range(20 - slow):
        it.succeed(NOW)
    for _ in range(slow):
        it.succeed(NOW, slow=True)
    assert it.admits(NOW) is not opens


def test_it_stays_open_for_longer_each_time_within_a_quarter():
    it, now = opened(), NOW
    spans = []
    for _ in range(7):
        assert not it.admits(now)
        spans.append(it.open_until - now)
        now = it.open_until
        it.fail(now, probe(it, now))
    for span, usual in zip(spans, (5, 10, 20, 40, 60, 60, 60), strict=True):
        assert 0.75 * usual <= span <= 1.25 * usual


def test_circuits_that_opened_together_are_not_probed_together():
    spans = []
    for seed in range(20):
        it = Breaker(BreakerConfig(), Random(seed))
        for _ in range(5):
            it.fail(NOW)
        spans.append(it.open_until - NOW)
    assert 3.75 <= min(spans) < 4.25
    assert 5.75 < max(spans) <= 6.25


def test_half_open_lets_one_call_through_at_a_time_and_closes_after_three():
    it = opened()
    now = it.open_until
    for _ in range(3):
        assert it.state(now) is State.HALF_OPEN
        number = probe(it, now)
        assert not it.admits(now)
        it.succeed(now, number)
    assert it.closed
    assert all(it.begin(now) == 0 and it.admits(now) for _ in range(10))


def test_a_probe_that_says_nothing_makes_room_for_another():
    it = opened()
    it.abandon(probe(it, it.open_until))
    assert it.admits(it.open_until)


def test_a_probe_without_a_result_in_30_seconds_has_failed_but_may_succeed_late():
    it = opened()
    began = it.open_until
    late = probe(it, began)
    assert it.state(began + 29.9) is State.HALF_OPEN
    assert not it.admits(began + 29.9)
    assert it.state(began + 30) is State.OPEN
    it.succeed(began + 31, late)
    assert it.admits(began + 31)


def test_calls_that_began_before_it_opened_change_nothing():
    it = opened()
    until = it.open_until
    it.succeed(NOW + 1)
    it.fail(NOW + 1)
    assert it.open_until == until
    now = until
    number = probe(it, now)
    it.fail(now)
    assert it.state(now) is State.HALF_OPEN
    it.succeed(now, number)
    assert it.admits(now)


def test_a_stream_that_breaks_after_its_first_token_was_no_success():
    it = breaker()
    for _ in range(5):
        streak = it.succeed(NOW)
        it.spoil(NOW, 0, streak)
    assert not it.admits(NOW)
    it = opened()
    now = it.open_until
    number = probe(it, now)
    it.spoil(now, number, it.succeed(now, number))
    assert it.state(now) is State.OPEN


def test_when_there_is_nobody_else_one_call_a_second_passes_and_a_success_helps_at_once():
    it = opened()
    assert not it.admits_trial(NOW + 0.9)
    assert it.admits_trial(NOW + 1)
    number = it.begin(NOW + 1)
    assert not it.admits_trial(NOW + 1.9)
    it.fail(NOW + 1.5, number)
    assert it.admits_trial(NOW + 2)
    it.succeed(NOW + 2.1, it.begin(NOW + 2))
    assert it.state(NOW + 2.1) is State.HALF_OPEN
    assert it.admits(NOW + 2.1)


def test_what_others_have_seen_opens_and_closes_it():
    it = breaker()
    it.open(NOW + 8)
    assert not it.admits(NOW + 7)
    assert it.admits(NOW + 8)
    it.close()
    assert it.closed


class Machine(RuleBasedStateMachine):
    """Any calls, results and gaps, with results that come late or never."""

    calls = Bundle("calls")

    def __init__(self):
        super().__init__()
        self.now = NOW
        self.breaker = Breaker(BreakerConfig(), Random(3))
        self.tried_at = -1e9

    def _begin(self):
        number = self.breaker.begin(self.now)
        if number:
            self.tried_at = self.now
        return number

    @rule(target=calls)
    def call(self):
        if not self.breaker.admits(self.now):
            return -1
        return self._begin()

    @rule(target=calls)
    def try_all_the_same(self):
        if not self.breaker.admits_trial(self.now):
            return -1
        return self._begin()

    @rule(number=consumes(calls), slow=st.booleans())
    def succeed(self, number, slow):
        if number >= 0:
            self.breaker.succeed(self.now, number, slow=slow)

    @rule(number=consumes(calls))
    def fail(self, number):
        if number >= 0:
            self.breaker.fail(self.now, number)

    @rule(number=consumes(calls))
    def break_off(self, number):
        if number >= 0:
            self.breaker.spoil(self.now, number, self.breaker.succeed(self.now, number))

    @rule(number=consumes(calls))
    def abandon(self, number):
        if number >= 0:
            self.breaker.abandon(number)

    @rule(count=st.integers(1, 30))
    def fail_often(self, count):
        for _ in range(count):
            if self.breaker.admits(self.now):
                self.breaker.fail(self.now, self._begin())

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: self.breaker.state(self.now) is State.OPEN)
    @rule()
    def wait_until_half_open(self):
        self.now = self.breaker.open_until
        assert self.breaker.state(self.now) is State.HALF_OPEN

    @invariant()
    def only_a_closed_one_lets_everything_through(self):
        state = self.breaker.state(self.now)
        if state is State.CLOSED:
            assert self.breaker.closed
            assert self.breaker.streak < 5
        if state is State.OPEN:
            assert not self.breaker.admits(self.now)

    @invariant()
    def it_never_stays_open_for_longer_than_its_longest_and_a_quarter(self):
        if self.breaker.state(self.now) is State.OPEN:
            assert 0 < self.breaker.open_until - self.now <= 75

    @invariant()
    def nobody_is_locked_out_for_more_than_a_second_where_there_is_nobody_else(self):
        if self.now - self.tried_at >= BETWEEN_TRIALS + 1e-9 and not self.breaker.closed:
            assert self.breaker.admits_trial(self.now) or self.now - self.breaker._probed_at < BETWEEN_TRIALS


TestMachine = Machine.TestCase
