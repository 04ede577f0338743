"""The better of two: whom it prefers, and what it makes of failures, strangers and black holes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.errors import UpstreamServerError
from tests.unit.routing.strategies.means import ABCD, A, B, Bench, C, D


def bench_of(*seconds, weights=None):
    """A bench whose targets were all seen just now, long enough after they began."""
    targets = ABCD[: len(seconds)]
    bench = Bench("least_latency", targets, weights)
    for target, each in zip(targets, seconds, strict=True):
        bench.saw(target, each)
    bench.clock.advance(0.2)
    return bench


def firsts(bench, calls=200):
    return Counter(bench.order()[0] for _ in range(calls))


@given(seconds=st.lists(st.floats(0.001, 60), min_size=2, max_size=4))
def test_the_worst_of_all_is_never_first(seconds):
    bench = bench_of(*seconds)
    worst = max(seconds)
    if seconds.count(worst) == 1:
        assert firsts(bench, 30)[ABCD[seconds.index(worst)]] == 0


@given(seconds=st.lists(st.floats(0.001, 60), min_size=2, max_size=4))
def test_behind_the_first_the_others_come_from_the_fastest_to_the_slowest(seconds):
    bench = bench_of(*seconds)
    _, *others = bench.order()
    known = dict(zip(ABCD, seconds, strict=False))
    assert [known[target] for target in others] == sorted(known[target] for target in others)


def test_of_two_the_faster_is_first():
    assert firsts(bench_of(0.5, 0.4)) == {B: 200}


def test_calls_in_flight_make_a_target_slower():
    bench = bench_of(0.4, 0.5)
    bench.begin(A)
    assert firsts(bench) == {B: 200}


def test_a_heavier_target_bears_more():
    bench = bench_of(0.5, 0.5, weights={A: 4})
    for _ in range(2):
        bench.begin(A)
    assert firsts(bench) == {A: 200}
    for _ in range(2):
        bench.begin(A)
    assert firsts(bench) == {B: 200}


def test_targets_alike_share_the_calls():
    found = firsts(bench_of(0.5, 0.5, 0.5, 0.5), 4000)
    assert all(found[target] / 4000 == pytest.approx(0.25, abs=0.04) for target in ABCD)


def test_who_fails_fast_does_not_look_fast():
    bench = bench_of(0.5, 0.5)
    bench.saw(A, 0.001, UpstreamServerError("It failed."))
    bench.clock.advance(1)
    assert firsts(bench) == {B: 200}


def test_a_failing_target_is_left_alone_even_where_the_others_are_loaded():
    bench = bench_of(0.5, 0.5)
    for _ in range(100):
        bench.first_output(bench.begin(B), 0.5)
    asked_of_a = 0
    for _ in range(1000):  # ten seconds
        if bench.order()[0] == A:
            asked_of_a += 1
            bench.saw(A, 0.001, UpstreamServerError("It failed."))
        bench.clock.advance(0.01)
    # One while it was known to serve, then one after each pause of 0.1, 0.2, 0.4, 0.8, 1.6 and 3.2 seconds.
    assert asked_of_a <= 8


def test_a_failing_target_that_serves_again_gets_calls_again():
    bench = bench_of(0.5, 0.5)
    for _ in range(5):
        bench.saw(A, 0.001, UpstreamServerError("It failed."))
    for _ in range(400):
        bench.clock.advance(0.1)
        bench.saw(bench.order()[0], 0.5)
    found = Counter()
    for _ in range(100):
        bench.clock.advance(0.1)
        found[bench.order()[0]] += 1
        bench.saw(bench.order()[0], 0.5)
    assert found[A] >= 30


def test_a_stranger_gets_a_call_now_and_then_until_it_is_known():
    bench = Bench("least_latency", (A, B))
    bench.saw(A, 0.5)
    begun = 0
    for _ in range(100):  # one second
        if bench.order()[0] == B:
            bench.begin(B)
            begun += 1
        bench.clock.advance(0.01)
    assert 1 <= begun <= 10


def test_where_all_are_strangers_they_share_the_calls():
    bench = Bench("least_latency")
    for _ in range(40):
        bench.begin(bench.order()[0])
    assert all(bench.vitals.of(target).in_flight >= 5 for target in ABCD)


def test_a_stream_that_waits_tells_before_it_ends():
    bench = bench_of(0.5, 0.5)
    bench.begin(A)
    bench.clock.advance(3)
    for _ in range(5):
        bench.begin(B)
    assert firsts(bench) == {B: 200}


def test_a_slow_target_that_was_not_seen_for_long_gets_one_call():
    bench = bench_of(0.5, 5.0)
    for _ in range(300):  # thirty seconds, in which only A is seen
        bench.clock.advance(0.1)
        bench.saw(A, 0.5)
    assert bench.order()[0] == B
    bench.begin(B)
    assert firsts(bench) == {A: 200}


def test_a_held_target_is_first_if_there_is_no_other():
    bench = Bench("least_latency", (C, D))
    for target in (C, D):
        bench.saw(target, 0.001, UpstreamServerError("It failed."))
    assert set(firsts(bench)) <= {C, D}
