import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.calls import Criticality
from llmproxy_grpc.config.schema import SheddingConfig
from llmproxy_grpc.telemetry.pressure import Pressure

EVERYBODY, CRITICAL, ONLY_THE_MOST, NOBODY = 0, Criticality.CRITICAL, Criticality.CRITICAL_PLUS, 4


class Night(Exception):
    """No lateness is left to play."""


def looked(*, lag=(0.0, 0.0), level=0.0, **config):
    pressure = Pressure(lag=lambda: lag, memory=lambda: level, config=lambda: SheddingConfig(**config))
    pressure.look()
    return pressure


@pytest.mark.parametrize(
    ("lag", "level", "least", "cause"),
    [
        ((0.0, 0.0), 0.0, EVERYBODY, ""),
        ((0.1, 0.1), 0.84, EVERYBODY, ""),
        ((0.11, 0.0), 0.0, CRITICAL, "loop_lag"),
        ((9.0, 0.25), 0.0, CRITICAL, "loop_lag"),
        ((9.0, 0.26), 0.0, ONLY_THE_MOST, "loop_lag"),
        ((0.0, 0.0), 0.85, CRITICAL, "memory"),
        ((0.0, 0.0), 0.949, CRITICAL, "memory"),
        ((0.0, 0.0), 0.951, NOBODY, "memory"),
        ((9.0, 9.0), 0.86, ONLY_THE_MOST, "loop_lag"),
        ((9.0, 9.0), 2.0, NOBODY, "memory"),
    ],
)
def test_who_is_refused(lag, level, least, cause):
    pressure = looked(lag=lag, level=level)
    assert (pressure.least, pressure.cause) == (least, cause)


def test_each_reason_can_be_switched_off():
    assert looked(lag=(9.0, 9.0), loop_lag=None).least == EVERYBODY
    assert looked(level=2.0, memory=None).least == EVERYBODY


@given(one=st.floats(0, 2), other=st.floats(0, 2), most=st.floats(0.1, 1))
def test_more_trouble_never_admits_more(one, other, most):
    less, more = sorted((one, other))

    def least(memory):
        pressure = Pressure(
            lag=lambda: (memory, memory), memory=lambda: memory, config=lambda: SheddingConfig(memory=most)
        )
        pressure.look()
        return pressure.least

    assert least(less) <= least(more)


async def test_it_looks_again_and_again():
    lags = [(0.0, 0.0), (9.0, 0.0), (0.0, 0.0)]
    seen = []

    async def sleep(_seconds):
        seen.append(pressure.least)
        if not lags:
            raise Night

    pressure = Pressure(lag=lambda: lags.pop(0), memory=lambda: 0.0, config=SheddingConfig, sleep=sleep)
    with pytest.raises(Night):
        await pressure.run()
    assert seen == [EVERYBODY, CRITICAL, EVERYBODY]
