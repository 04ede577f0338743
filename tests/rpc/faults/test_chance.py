"""Faults by chance, many at a time, while callers leave: nothing hangs, nothing is left, no status is a surprise."""

import asyncio
import random
import time

import pytest

from bench.soak import Callers, Provider
from tests.fakes.faulty_upstream import FaultyUpstream
from tests.fakes.polling import until
from tests.rpc.faults.exchange import proxying

SECONDS = 3.0
LIMITS = {"first_token": 0.3, "idle": 0.3, "connect": 1, "unary": 3, "stream": 3}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_faults_by_chance_hang_nothing_and_leave_nothing(serve, seed):
    async with FaultyUpstream() as a, FaultyUpstream() as b, proxying(serve, a, b, timeouts=LIMITS) as server:
        for each in (a, b):
            each.handler = Provider(random.Random(seed)).answer
        before = len(asyncio.all_tasks())
        callers = Callers(server.address, 20, random.Random(seed))
        await callers.run(time.monotonic() + SECONDS)
        assert callers.hung == 0
        assert callers.unexpected == {}
        assert callers.outcomes["OK"] > 20
        # A kept connection to a provider is a task of the fake's.
        await until(lambda: len(asyncio.all_tasks()) <= before + a.open_connections + b.open_connections)
        in_flight = server.app._admission.in_flight
        assert sum(in_flight.values()) == 0
