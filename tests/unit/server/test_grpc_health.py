import asyncio

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from llmproxy_grpc.errors import ProxyOverloaded
from llmproxy_grpc.health.changes import Changes
from llmproxy_grpc.server.grpc_health import MOST_LISTED, READINESS_NAMES, GrpcHealth
from llmproxy_grpc.server.readiness import Phase, Readiness
from tests.fakes.polling import until

SERVING = HealthCheckResponse.SERVING


class Rpc:
    """What a watch writes to; it is its own context."""

    def __init__(self):
        self.context = self
        self.told = []

    async def write(self, data):
        self.told.append(HealthCheckResponse.FromString(data).status)


def serving(most_watches=2, names=()):
    changes = Changes()
    readiness = Readiness(changes.tell)
    readiness.enter(Phase.SERVING)
    health = GrpcHealth(
        readiness=readiness,
        overloaded=lambda: False,
        lookup=lambda _name: None,
        names=lambda: names,
        most_watches=most_watches,
    )
    changes.listen(health.changed)
    return health, readiness


async def opened(health):
    """An open watch that has told the status."""
    rpc = Rpc()
    watch = asyncio.create_task(health.watch(HealthCheckRequest(), rpc))
    await until(lambda: rpc.told)
    return watch, rpc


async def test_a_watch_beyond_the_bound_is_refused_until_another_ends():
    health, readiness = serving(most_watches=2)
    watches = [(await opened(health))[0] for _ in range(2)]
    with pytest.raises(ProxyOverloaded) as raised:
        await health.watch(HealthCheckRequest(), Rpc())
    assert raised.value.retry_after == 30
    watches[0].cancel()
    await asyncio.wait(watches[:1])
    watches.append((await opened(health))[0])
    readiness.enter(Phase.STOPPED)
    await asyncio.gather(*watches[1:])


async def test_watches_end_by_themselves_when_the_server_stops_and_say_so_first():
    health, readiness = serving()
    watch, rpc = await opened(health)
    readiness.enter(Phase.STOPPED)
    await watch
    assert rpc.told == [SERVING, HealthCheckResponse.NOT_SERVING]


async def test_a_full_house_of_watches_leaves_check_and_list_alone():
    health, _ = serving(most_watches=0)
    with pytest.raises(ProxyOverloaded):
        await health.watch(HealthCheckRequest(), Rpc())
    assert (await health.check(HealthCheckRequest(), Rpc())).status == SERVING


async def test_list_names_a_hundred_at_most_and_the_server_itself_always():
    health, _ = serving(names=[f"model/{number}" for number in range(500)])
    statuses = (await health.list(None, None)).statuses
    assert len(statuses) == MOST_LISTED
    assert {*READINESS_NAMES, "liveness"} <= set(statuses)
