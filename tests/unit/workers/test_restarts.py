from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.workers.restarts import ALARM, LONGEST, MEMORY, SHORTEST, Restarts
from tests.fakes.clock import FakeClock


def test_each_death_doubles_the_wait_up_to_half_a_minute():
    restarts = Restarts(FakeClock(), lambda: 1.0)
    assert [restarts.delay() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_minute_without_a_death_begins_again():
    clock = FakeClock()
    restarts = Restarts(clock, lambda: 1.0)
    assert [restarts.delay(), restarts.delay()] == [0.5, 1]
    clock.advance(MEMORY + 1)
    assert restarts.delay() == SHORTEST


def test_five_deaths_in_a_minute_are_alarming_and_are_forgotten():
    clock = FakeClock()
    restarts = Restarts(clock, lambda: 0.0)
    for _ in range(ALARM):
        assert not restarts.alarming
        restarts.delay()
    assert restarts.alarming
    clock.advance(MEMORY + 1)
    assert not restarts.alarming


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), max_size=100))
def test_the_wait_is_never_shorter_than_a_quarter_of_a_second_nor_longer_than_half_a_minute(deaths):
    clock = FakeClock()
    for pause, luck in deaths:
        restarts = Restarts(clock, lambda luck=luck: luck)
        clock.advance(pause)
        assert SHORTEST / 2 <= restarts.delay() <= LONGEST
