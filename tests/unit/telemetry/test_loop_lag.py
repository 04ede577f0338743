import pytest

from llmproxy_grpc.telemetry.loop_lag import TICK, LoopLag
from tests.fakes.clock import FakeClock


class Night(Exception):
    """No lateness is left to play."""


async def measured(*late):
    """Plays ticks that are so many seconds late; gives the measurement and what it told."""
    clock, told, left = FakeClock(), [], list(late)

    async def sleep(seconds):
        if not left:
            raise Night
        clock.advance(seconds + left.pop(0))

    lag = LoopLag(told.append, clock=clock, sleep=sleep)
    with pytest.raises(Night):
        await lag.run()
    return lag, told


async def test_without_a_tick_there_is_no_lag():
    lag, told = await measured()
    assert lag.p99 == 0.0
    assert told == []


async def test_ticks_in_time_are_no_lag():
    lag, told = await measured(*[0.0] * 10)
    assert lag.p99 == pytest.approx(0.0, abs=1e-9)
    assert told == pytest.approx([0.0], abs=1e-9)


@pytest.mark.parametrize("late", [[0.5], [0.0, 0.5], [0.5, *[0.0] * 8]])
async def test_of_few_ticks_the_latest_counts(late):
    lag, _ = await measured(*late)
    assert lag.p99 == pytest.approx(0.5)


async def test_a_tick_that_comes_early_is_in_time():
    lag, _ = await measured(-TICK / 2)
    assert lag.p99 == 0.0


async def test_one_late_tick_of_a_hundred_is_left_out_but_two_are_not():
    assert (await measured(0.5, *[0.01] * 99))[0].p99 == pytest.approx(0.01)
    assert (await measured(0.5, 0.4, *[0.01] * 98))[0].p99 == pytest.approx(0.4)


async def test_it_tells_at_every_tenth_tick():
    _, told = await measured(*[0.0] * 10, *[0.2] * 15)
    assert told == pytest.approx([0.0, 0.2], abs=1e-9)


async def test_what_is_older_than_a_hundred_ticks_is_forgotten():
    lag, _ = await measured(*[0.5] * 50, *[0.0] * 100)
    assert lag.p99 == pytest.approx(0.0, abs=1e-9)
