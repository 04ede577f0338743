"""Every strategy as a machine: any calls in any order, under a clock that the test moves, beside a simple model."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from llmproxy_grpc.errors import CallerCancelled, InvalidRequest, UpstreamServerError
from llmproxy_grpc.routing.strategies.table import BY_VITALS, STRATEGIES
from tests.unit.routing.strategies.means import ABCD, Bench

subsets = st.lists(st.sampled_from(ABCD), min_size=2, unique=True)
seconds = st.floats(0.001, 60)


class Machine(RuleBasedStateMachine):
    """One route. The model knows of each target what runs there, and when it was asked and failed last."""

    name = "priority"
    running = Bundle("running")

    @initialize(weights=st.dictionaries(st.sampled_from(ABCD), st.integers(1, 100)), seed=st.integers(0, 1000))
    def build(self, weights, seed):
        self.bench = Bench(self.name, weights=weights, seed=seed)
        self.in_flight = dict.fromkeys(ABCD, 0)
        self.streak = dict.fromkeys(ABCD, 0)
        self.told = dict.fromkeys(ABCD, False)
        self.asked_at = dict.fromkeys(ABCD, -math.inf)
        self.failed_at = dict.fromkeys(ABCD, -math.inf)

    @rule(target=running, subset=subsets, method=st.sampled_from(["Stream", "Chat", "CountTokens"]))
    def call(self, subset, method):
        ordered = self.bench.order(*subset)
        assert sorted(ordered, key=ABCD.index) == sorted(subset, key=ABCD.index)
        first = ordered[0]
        if self.name in BY_VITALS and self.pausing(first):
            assert not any(self.fine(target) for target in subset), "a target that fails goes before one that serves"
        return self.begin(first, method)

    @rule(target=running, on=st.sampled_from(ABCD), method=st.sampled_from(["Stream", "Chat"]))
    def another_routes_call(self, on, method):
        return self.begin(on, method)

    def begin(self, on, method):
        self.in_flight[on] += 1
        self.asked_at[on] = self.bench.clock()
        return self.bench.begin(on, method), on, method

    @rule(call=running, after=seconds)
    def first_output(self, call, after):
        begun, on, method = call
        if method == "Stream" and begun.id in self.bench.vitals.of(on).waiting:
            self.bench.first_output(begun, after)
            self.streak[on] = 0
            self.told[on] = True

    @rule(call=consumes(running), after=seconds, tokens=st.none() | st.integers(0, 10_000))
    def succeed(self, call, after, tokens):
        begun, on, method = call
        self.bench.end(begun, after, tokens=tokens, first=0.1)
        self.in_flight[on] -= 1
        if method == "Chat":
            self.streak[on] = 0
            self.told[on] = True

    @rule(call=consumes(running), after=seconds)
    def fail(self, call, after):
        begun, on, method = call
        self.bench.end(begun, after, UpstreamServerError("It failed."))
        self.in_flight[on] -= 1
        if method == "CountTokens":
            return
        self.streak[on] += 1
        self.failed_at[on] = self.bench.clock()

    @rule(call=consumes(running), after=seconds, error=st.sampled_from([CallerCancelled, InvalidRequest]))
    def leave(self, call, after, error):
        begun, on, _ = call
        self.bench.end(begun, after, error("Over."), first=0.1)
        self.in_flight[on] -= 1

    @rule(by=st.floats(0, 30))
    def advance(self, by):
        self.bench.clock.advance(by)

    @rule()
    def reload(self):
        self.bench.vitals.watch(ABCD)

    @invariant()
    def what_is_known_is_what_happened(self):
        for target in ABCD:
            vital = self.bench.vitals.of(target)
            assert (vital.in_flight, vital.failures) == (self.in_flight[target], self.streak[target])
            assert len(vital.waiting) <= vital.in_flight
            assert 0 <= vital.seconds(self.bench.clock()) < math.inf

    def pausing(self, target):
        """Whether a target that failed has had its call of this pause."""
        since = self.bench.clock() - max(self.asked_at[target], self.failed_at[target])
        return self.streak[target] > 0 and since < min(10.0, 0.1 * 2 ** (self.streak[target] - 1))

    def fine(self, target):
        """Whether a target serves, and was seen or asked so lately that nothing speaks against asking it."""
        vital = self.bench.vitals.of(target)
        return self.told[target] and self.streak[target] == 0 and not vital.held(self.bench.clock())


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_history_makes_a_strategy_break_its_word(name):
    machine = type(f"{name}_machine", (Machine,), {"name": name})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
