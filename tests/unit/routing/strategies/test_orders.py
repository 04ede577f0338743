"""What every strategy keeps to, and the shares of those that have shares."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import Price, Rates
from llmproxy_grpc.messages.price import PriceTier
from llmproxy_grpc.pricing.prices import Quote
from llmproxy_grpc.routing.strategies.table import STRATEGIES
from tests.unit.routing.strategies.means import ABCD, A, B, Bench, C, D, asked

subsets = st.lists(st.sampled_from(ABCD), min_size=2, unique=True)
weightings = st.dictionaries(st.sampled_from(ABCD), st.integers(1, 1_000_000))


@pytest.mark.parametrize("name", STRATEGIES)
@given(calls=st.lists(subsets, max_size=20), weights=weightings, seed=st.integers(0, 2**32))
def test_an_order_loses_nothing_and_invents_nothing(name, calls, weights, seed):
    bench = Bench(name, weights=weights, seed=seed)
    for targets in calls:
        ordered = bench.order(*targets)
        assert sorted(ordered, key=ABCD.index) == sorted(targets, key=ABCD.index)
        bench.begin(ordered[0])
        bench.clock.advance(0.01)


@pytest.mark.parametrize("name", STRATEGIES)
@given(calls=st.lists(subsets, max_size=20), seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_orders(name, calls, seed):
    one, other = Bench(name, seed=seed), Bench(name, seed=seed)
    assert [one.order(*targets) for targets in calls] == [other.order(*targets) for targets in calls]


def test_priority_is_the_order_written():
    assert Bench("priority").order(C, A, B) == [C, A, B]


# Shares.


def shares(bench, calls, place=0):
    return Counter(bench.order()[place] for _ in range(calls))


def test_weighted_comes_first_by_weight():
    found = shares(Bench("weighted", (A, B, C), {A: 6, B: 3}), 20_000)
    for target, share in ((A, 0.6), (B, 0.3), (C, 0.1)):
        assert found[target] / 20_000 == pytest.approx(share, abs=0.015)


def test_weighted_draws_the_second_among_the_others_by_weight():
    found = Counter(
        order[1] for order in [Bench("weighted", (A, B, C), {A: 6, B: 3}, seed=n).order() for n in range(4000)]
    )
    # B is second behind A (0.6 x 3/4) or behind C (0.1 x 3/9).
    assert found[B] / 4000 == pytest.approx(0.6 * 3 / 4 + 0.1 * 3 / 9, abs=0.03)


@given(weights=st.dictionaries(st.sampled_from(ABCD), st.integers(1, 30)))
def test_round_robin_gives_each_exactly_its_share_of_every_round(weights):
    bench = Bench("round_robin", weights=weights)
    whole = sum(weights.get(target, 1) for target in ABCD)
    for _ in range(3):
        assert shares(bench, whole) == {target: weights.get(target, 1) for target in ABCD}


def test_round_robin_spreads_a_heavy_target_evenly():
    bench = Bench("round_robin", (A, B, C), {A: 5})
    assert [bench.order()[0] for _ in range(7)] == [A, A, B, A, C, A, A]


def test_a_target_that_was_away_from_the_round_comes_back_without_a_claim():
    bench = Bench("round_robin", (A, B, C))
    for _ in range(100):
        bench.order(A, B)
    assert shares(bench, 30) == {A: 10, B: 10, C: 10}


# By load.


def test_least_in_flight_takes_the_idle_target():
    bench = Bench("least_in_flight", (A, B))
    for target in (A, A, B):
        bench.saw(target, 0.1)
    bench.begin(A)
    bench.clock.advance(1)
    assert {bench.order()[0] for _ in range(50)} == {B}


def test_least_in_flight_counts_by_weight():
    bench = Bench("least_in_flight", (A, B), {A: 4})
    for target in (A, B):
        bench.saw(target, 0.1)
    for _ in range(2):
        bench.begin(A)
    bench.clock.advance(1)
    assert bench.order()[0] == A
    for _ in range(2):
        bench.begin(A)
    assert bench.order()[0] == B


def test_equals_share_the_load():
    bench = Bench("least_in_flight")
    for target in ABCD:
        bench.saw(target, 0.1)
    found = shares(bench, 4000)
    assert all(found[target] / 4000 == pytest.approx(0.25, abs=0.04) for target in ABCD)


def test_calls_that_ended_are_not_in_flight():
    bench = Bench("least_in_flight", (A, B))
    for target in (A, B):
        bench.saw(target, 0.1)
    bench.end(bench.begin(A), 0.1)
    bench.begin(B)
    bench.clock.advance(1)
    assert bench.order()[0] == A


# By price.


def price(rate, currency="USD", output=0, tiers=()):
    return Quote(Price(currency, rates(rate, output), tiers))


def rates(rate, output=0):
    """So many units of the currency for a million tokens."""
    nanos = rate * 1_000_000_000
    return Rates(
        input=nanos,
        output=output * 1_000_000_000,
        cached_input=nanos,
        cache_write=nanos,
        cache_write_1h=nanos,
        audio_input=nanos,
    )


def cheapest(quotes, of=None):
    return Bench("lowest_cost", quotes=quotes).order(of=of)


def test_the_cheapest_comes_first_and_unknown_prices_last():
    assert cheapest({A: price(3), B: price(1), D: price(2)}) == [B, D, A, C]


def test_equal_prices_keep_the_order_written():
    assert cheapest({target: price(1) for target in ABCD}) == [A, B, C, D]


def test_without_prices_the_order_written_holds():
    assert cheapest({}) == [A, B, C, D]


def test_the_answer_counts_as_far_as_it_is_wanted():
    quotes = {A: price(1, output=100), B: price(3, output=0)}
    long_prompt = "x" * 40_000
    assert cheapest(quotes, asked(long_prompt, most=1))[0] == A
    assert cheapest(quotes, asked(long_prompt))[0] == B


def test_a_long_prompt_has_the_price_of_long_prompts():
    quotes = {A: price(1, tiers=(PriceTier(1000, rates(10)),)), B: price(2)}
    assert cheapest(quotes, asked("x" * 400))[0] == A
    assert cheapest(quotes, asked("x" * 40_000))[0] == B


def test_another_currency_cannot_be_compared():
    assert cheapest({A: price(3), B: price(1, "EUR"), C: price(2)}) == [C, A, B, D]


def test_what_is_free_is_free_in_any_currency():
    assert cheapest({A: price(3), B: price(0, "EUR")})[0] == B
