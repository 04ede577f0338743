import asyncio

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from llmproxy_grpc.errors import ProxyOverloaded, ResourceNotFound
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


@pytest.mark.parametrize("padding", [b"", b"\x12\x80\x08" + bytes(1024)], ids=["name", "unknown_field"])
async def test_a_watch_that_is_too_large_to_be_kept_is_told_the_status_once_and_ends(padding):
    health, _ = serving()
    rpc, name = Rpc(), "" if padding else "é" * 257
    request = HealthCheckRequest.FromString(HealthCheckRequest(service=name).SerializeToString() + padding)
    await asyncio.wait_for(health.watch(request, rpc), 10)
    assert rpc.told == [SERVING if padding else HealthCheckResponse.SERVICE_UNKNOWN]
    with pytest.raises(ResourceNotFound):
        await health.check(HealthCheckRequest(service="w" * 513), Rpc())


async def test_a_watch_of_an_unknown_name_of_usual_length_stays_open():
    health, readiness = serving()
    rpc = Rpc()
    watch = asyncio.create_task(health.watch(HealthCheckRequest(service="w" * 500), rpc))
    await until(lambda: rpc.told)
    assert not watch.done()
    readiness.enter(Phase.STOPPED)
    await watch
    assert rpc.told == [HealthCheckResponse.SERVICE_UNKNOWN, HealthCheckResponse.NOT_SERVING]


async def test_list_names_a_hundred_at_most_and_the_server_itself_always():
    health, _ = serving(names=[f"model/{number}" for number in range(500)])
    statuses = (await health.list(None, None)).statuses
    assert len(statuses) == MOST_LISTED
    assert {*READINESS_NAMES, "liveness"} <= set(statuses)
