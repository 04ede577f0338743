"""The strategies in the simulator: what each must do with a target that goes wrong, for fixed seeds."""

import asyncio
import logging
import time

import pytest
import structlog

from bench.simulation import virtual_time
from bench.simulation.__main__ import main
from bench.simulation.run import FIXED, Load, simulate
from bench.simulation.scenarios import SCENARIOS
from bench.simulation.targets import Fault
from llmproxy_grpc.routing.strategies.table import STRATEGIES

LOAD = Load(rate=50, seconds=75)
SHORT = Load(rate=20, seconds=35)


@pytest.fixture(autouse=True)
def quiet():
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


# Time that does not pass.


def test_an_hour_passes_at_once():
    async def main_():
        loop = asyncio.get_running_loop()
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(1800))
        return loop.time()

    began = time.monotonic()
    assert virtual_time.run(main_()) == pytest.approx(3600)
    assert time.monotonic() - began < 5


def test_what_is_due_first_happens_first():
    async def main_():
        seen = []

        async def note(seconds):
            await asyncio.sleep(seconds)
            seen.append(seconds)

        await asyncio.gather(*(note(seconds) for seconds in (3, 1, 2)))
        return seen

    assert virtual_time.run(main_()) == [1, 2, 3]


def test_what_would_wait_for_ever_is_stuck():
    async def main_():
        await asyncio.Event().wait()

    with pytest.raises(virtual_time.Stuck):
        virtual_time.run(main_())


# The strategies.


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_gives_the_same_outcome(strategy, scenario):
    assert simulate(strategy, scenario, seed=3, load=SHORT) == simulate(strategy, scenario, seed=3, load=SHORT)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_least_latency_keeps_the_tail_of_the_best_fixed_choice(scenario, seed):
    fixed = simulate(FIXED, scenario, seed=seed, load=LOAD)
    found = simulate("least_latency", scenario, seed=seed, load=LOAD)
    assert found.quantile(0.99) <= 1.3 * fixed.quantile(0.99)
    assert found.failed <= found.calls / 1000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_least_latency_leaves_a_slow_target_within_15_seconds(seed):
    assert simulate("least_latency", "slow", seed=seed, load=LOAD).late_share <= 0.1 * 0.25


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("strategy", ["least_latency", "least_in_flight"])
@pytest.mark.parametrize("scenario", ["limited", "failing", "silent"])
def test_what_fails_fast_or_never_answers_gets_probes_alone(strategy, scenario, seed):
    # A call each ten seconds of some five hundred.
    assert simulate(strategy, scenario, seed=seed, load=LOAD).late_share <= 0.01


@pytest.mark.parametrize("strategy", ["weighted", "round_robin", "least_latency", "least_in_flight"])
def test_targets_alike_share_the_calls(strategy):
    outcome = simulate(strategy, "healthy", seed=1, load=LOAD)
    assert outcome.late_share == pytest.approx(0.25, abs=0.03)
    assert (outcome.failed, outcome.amplification) == (0, 1)


@pytest.mark.parametrize("strategy", ["least_latency", "least_in_flight"])
def test_answers_in_one_piece_do_not_spoil_the_shares(strategy):
    mixed = Load(rate=50, seconds=75, unary=0.5)
    assert simulate(strategy, "healthy", seed=1, load=mixed).late_share == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("unary", [0.5, 1.0])
def test_answers_in_one_piece_tell_of_a_slow_target_as_well(unary):
    load = Load(rate=50, seconds=75, unary=unary)
    assert simulate("least_latency", "slow", seed=1, load=load).late_share <= 0.1 * 0.25


def test_the_command_prints_a_row_for_each(capsys):
    arguments = ["--seeds", "1", "--seconds", "1", "--scenarios", "healthy", "--strategies", "fixed", "weighted"]
    assert main(arguments) == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[1] for row in rows] == ["`fixed`", "`weighted`"]
    assert all(row.count("|") == header.count("|") for row in rows)


@pytest.mark.parametrize("unary", [0.0, 1.0])
@pytest.mark.parametrize(("scenario", "most"), [("silent", 0.3), ("silent from the start", 0.3)])
def test_what_never_answers_is_left_alone_even_by_callers_of_little_patience(scenario, most, unary, monkeypatch):
    """Their deadlines are over before a provider has been slow by any measure of ours: each by itself says nothing."""
    monkeypatch.setitem(SCENARIOS, "silent from the start", Fault(silent=lambda _now: True))
    outcome = simulate("priority", scenario, seed=1, load=Load(rate=10, seconds=60, unary=unary, deadline=3.0))
    assert outcome.failed / outcome.calls < most
    assert outcome.late_share < 0.05
