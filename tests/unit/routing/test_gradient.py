from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.routing.gradient import LEAST, MOST, START, Gradient

seconds = st.floats(0, 3600, allow_nan=False)
events = st.lists(
    st.one_of(st.tuples(seconds, st.integers(0, 300), st.sampled_from(["Stream", "Chat"])), st.just(None)), max_size=300
)


def fed(events):
    gradient = Gradient()
    for event in events:
        if event is None:
            gradient.refused()
        else:
            gradient.took(*event)
    return gradient


def settled(capacity, scatter, *, base=0.5, calls=6000):
    """The limit that is learned of a provider which serves so many at a time, and queues the rest."""
    random, gradient = Random(1), Gradient()
    for _ in range(calls):
        in_flight = gradient.limit
        queued = max(0, in_flight - capacity)
        gradient.took(base * scatter(random) * (1 + queued / capacity), in_flight)
    return gradient.limit


SCATTER = {
    "a little": lambda random: random.uniform(0.8, 1.2),
    "as first tokens do": lambda random: random.lognormvariate(0, 0.5),
}


@given(events=events)
def test_the_limit_never_leaves_its_bounds(events):
    assert LEAST <= fed(events).limit <= MOST


@given(events=events, worse=st.booleans())
def test_a_refusal_never_raises_it(events, worse):
    gradient = fed(events)
    before = gradient.limit
    gradient.refused()
    assert gradient.limit <= before


@given(events=events, took=seconds)
def test_it_does_not_move_while_it_is_not_used(events, took):
    gradient = fed(events)
    before = gradient.limit
    gradient.took(took, in_flight=int(before / 2) - 1)
    assert gradient.limit == before


@given(pace=st.floats(0.001, 100), calls=st.integers(1, 500))
def test_a_steady_pace_never_lowers_it_and_at_last_everything_is_allowed(pace, calls):
    gradient = Gradient()
    limits = []
    for _ in range(calls):
        gradient.took(pace, gradient.limit)
        limits.append(gradient.limit)
    assert limits == sorted(limits)
    for _ in range(500):
        gradient.took(pace, gradient.limit)
    assert gradient.limit == MOST


@given(events=events)
def test_one_sample_takes_a_tenth_at_most(events):
    gradient = fed(events)
    before = gradient._limit
    gradient.took(3600.0, 300)
    assert gradient._limit >= before * 0.9


def test_it_begins_small():
    assert Gradient().limit == START


def test_refusals_bring_it_down_to_the_least_but_not_below():
    assert fed([None] * 100).limit == LEAST


@pytest.mark.parametrize("scatter", SCATTER.values(), ids=SCATTER.keys())
@pytest.mark.parametrize("capacity", [30, 60, 100])
def test_it_settles_near_what_a_provider_can_do_at_a_time(capacity, scatter):
    assert capacity <= settled(capacity, scatter) <= capacity * 2.5


@pytest.mark.parametrize("scatter", SCATTER.values(), ids=SCATTER.keys())
def test_times_that_scatter_lower_no_limit_of_a_provider_with_room(scatter):
    assert settled(10_000, scatter) == MOST


def test_a_provider_that_recovers_gets_more_again():
    gradient = Gradient()
    for _ in range(300):
        gradient.took(0.5, gradient.limit)
    for _ in range(30):
        gradient.took(20.0, gradient.limit)
    low = gradient.limit
    for _ in range(600):
        gradient.took(0.5, gradient.limit)
    assert low < 100
    assert gradient.limit == MOST


def test_whole_answers_and_first_tokens_are_not_compared():
    gradient = Gradient()
    for _ in range(200):
        gradient.took(0.2, gradient.limit, "Stream")
        gradient.took(20.0, gradient.limit, "Chat")
    assert gradient.limit == MOST
