from datetime import UTC, datetime, timedelta

import pytest

from llmproxy_grpc import __version__
from llmproxy_grpc._gen.v1 import error_pb2, health_pb2
from llmproxy_grpc.calls import Call, Caller, Scope
from llmproxy_grpc.errors import CredentialsRejected, InvalidRequest, PermissionDenied, UpstreamServerError
from llmproxy_grpc.health.switchboard import Switch, Switchboard
from llmproxy_grpc.health.tracker import ProviderState
from llmproxy_grpc.server.health import HealthServicer, Load, ProviderInfo
from llmproxy_grpc.server.readiness import Phase, Readiness
from llmproxy_grpc.server.rpc import Method, Rpc

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
UNKNOWN = ProviderState(True, None, None, None, None, 0.0, None, None, 0)
DOWN = ProviderState(False, None, NOON, UpstreamServerError("It failed."), NOON, 1.0, None, None, 0)
OPTIONAL = (
    "last_success_time",
    "last_failure_time",
    "check_time",
    "time_to_first_token_p50",
    "time_to_first_token_p95",
)


class Proxy:
    """A servicer, and what stands behind it for a test to change."""

    def __init__(self, **states):
        self.states = states
        self.infos = {name: ProviderInfo("echo", (f"{name}-1", f"{name}-2")) for name in states}
        self.readiness = Readiness()
        self.readiness.enter(Phase.SERVING)
        self.overloaded = False
        self.switchboard = Switchboard()
        self.probed = []
        self.load = Load(0, 0, 0, 0.0)
        self.caller = Caller()
        self.servicer = HealthServicer(
            readiness=self.readiness,
            overloaded=lambda: self.overloaded,
            started=NOON,
            providers=lambda: self.infos,
            state=lambda name: self.states[name],
            setting=self.switchboard.setting,
            probe=self.probe,
            load=lambda: self.load,
        )

    async def probe(self, names):
        self.probed.append(list(names))
        self.states.update(dict.fromkeys(names, DOWN))

    async def health(self, *providers, probe=False):
        call = Call("id", "Health", "request", self.caller, NOON, 0.0, 1.0)
        rpc = Rpc(Method("Health", health_pb2.HealthRequest), None, b"", call, {})
        return await self.servicer.health(health_pb2.HealthRequest(providers=providers, probe=probe), rpc)

    async def status(self):
        return health_pb2.ServingStatus.Name((await self.health()).status).removeprefix("SERVING_STATUS_")


async def provider(state):
    (provider,) = (await Proxy(a=state).health()).providers
    return provider


# The server.


async def test_version_start_and_load_are_shown():
    proxy = Proxy()
    proxy.load = Load(3, 2, 1024, 0.0125)
    health = await proxy.health()
    assert health.version == __version__
    assert health.start_time.ToDatetime(UTC) == NOON
    assert (health.load.active_calls, health.load.active_streams, health.load.admission_limit) == (3, 2, 1024)
    assert health.load.loop_lag.ToTimedelta() == timedelta(microseconds=12_500)


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        (Phase.STARTING, "NOT_SERVING"),
        (Phase.SERVING, "SERVING"),
        (Phase.DRAINING, "DRAINING"),
        (Phase.STOPPED, "NOT_SERVING"),
    ],
)
async def test_the_phase_decides_before_the_providers(phase, status):
    proxy = Proxy(a=UNKNOWN)
    proxy.readiness.enter(phase)
    assert await proxy.status() == status


async def test_an_overloaded_server_does_not_serve_but_says_so_when_it_drains():
    proxy = Proxy(a=UNKNOWN)
    proxy.overloaded = True
    assert await proxy.status() == "NOT_SERVING"
    proxy.readiness.enter(Phase.DRAINING)
    assert await proxy.status() == "DRAINING"


async def test_one_provider_that_is_down_degrades_the_server_even_where_another_was_asked_for():
    proxy = Proxy(a=UNKNOWN, b=DOWN)
    assert await proxy.status() == "DEGRADED"
    assert (await proxy.health("a")).status == health_pb2.SERVING_STATUS_DEGRADED


@pytest.mark.parametrize(
    ("switch", "status"), [(Switch.DISABLED, "NOT_SERVING"), (Switch.DRAINING, "DRAINING"), (Switch.ENABLED, "SERVING")]
)
async def test_what_operators_switch_is_shown_and_no_illness(switch, status):
    proxy = Proxy(a=UNKNOWN, b=UNKNOWN)
    proxy.switchboard.configure({"a": switch})
    health = await proxy.health("a")
    assert health.status == health_pb2.SERVING_STATUS_SERVING
    assert health_pb2.ServingStatus.Name(health.providers[0].status) == f"SERVING_STATUS_{status}"


async def test_a_provider_that_is_down_and_out_of_service_degrades_nothing():
    proxy = Proxy(a=UNKNOWN, b=DOWN)
    proxy.switchboard.configure({"b": Switch.DRAINING})
    assert await proxy.status() == "SERVING"


async def test_a_server_without_providers_serves():
    health = await Proxy().health()
    assert health.status == health_pb2.SERVING_STATUS_SERVING
    assert not health.providers


# Providers.


async def test_a_provider_of_which_nothing_is_known_serves_and_claims_nothing():
    shown = await provider(UNKNOWN)
    assert shown.status == health_pb2.SERVING_STATUS_SERVING
    assert (shown.provider, shown.kind, list(shown.models)) == ("a", "echo", ["a-1", "a-2"])
    assert not [name for name in OPTIONAL if shown.HasField(name)]
    assert shown.last_error == error_pb2.ERROR_REASON_UNSPECIFIED


async def test_everything_that_is_known_is_shown():
    before = NOON - timedelta(seconds=5)
    shown = await provider(ProviderState(False, before, NOON, CredentialsRejected("No."), NOON, 0.25, 0.5, 1.5, 7))
    assert shown.status == health_pb2.SERVING_STATUS_NOT_SERVING
    assert shown.last_success_time.ToDatetime(UTC) == before
    assert shown.last_failure_time.ToDatetime(UTC) == NOON
    assert shown.check_time.ToDatetime(UTC) == NOON
    assert shown.last_error == error_pb2.ERROR_REASON_UPSTREAM_CREDENTIALS_REJECTED
    assert (shown.error_rate, shown.in_flight) == (0.25, 7)
    assert shown.time_to_first_token_p50.ToTimedelta() == timedelta(seconds=0.5)
    assert shown.time_to_first_token_p95.ToTimedelta() == timedelta(seconds=1.5)


async def test_a_first_token_at_once_is_known_all_the_same():
    shown = await provider(ProviderState(True, NOON, None, None, NOON, 0.0, 0.0, 0.0, 0))
    assert shown.HasField("time_to_first_token_p50")
    assert shown.HasField("time_to_first_token_p95")


async def test_all_providers_are_shown_by_name_or_those_asked_for_in_their_order_once():
    proxy = Proxy(c=UNKNOWN, a=UNKNOWN, b=UNKNOWN)
    assert [each.provider for each in (await proxy.health()).providers] == ["a", "b", "c"]
    assert [each.provider for each in (await proxy.health("c", "a", "c")).providers] == ["c", "a"]


async def test_every_unknown_provider_is_named_and_nobody_is_probed():
    proxy = Proxy(a=UNKNOWN)
    with pytest.raises(InvalidRequest) as caught:
        await proxy.health("x", "a", "", probe=True)
    assert [violation.field for violation in caught.value.violations] == ["providers[0]", "providers[2]"]
    assert proxy.probed == []


async def test_without_the_scope_one_sees_status_and_version_and_learns_of_no_provider():
    proxy = Proxy(a=DOWN)
    proxy.caller = Caller(scopes=frozenset(Scope) - {Scope.HEALTH})
    for names in ((), ("a",), ("x",)):
        health = await proxy.health(*names)
        assert [field.name for field, _ in health.ListFields()] == ["status", "version"]
        assert health.status == health_pb2.SERVING_STATUS_DEGRADED


# Probes.


async def test_without_the_scope_nobody_is_probed():
    proxy = Proxy(a=UNKNOWN)
    proxy.caller = Caller(scopes=frozenset(Scope) - {Scope.ADMIN})
    with pytest.raises(PermissionDenied):
        await proxy.health(probe=True)
    assert proxy.probed == []


async def test_nobody_is_probed_unless_asked():
    proxy = Proxy(a=UNKNOWN)
    await proxy.health()
    await proxy.health("a")
    assert proxy.probed == []


async def test_a_probe_asks_those_named_once_and_shows_what_came_out():
    proxy = Proxy(a=UNKNOWN, b=UNKNOWN)
    health = await proxy.health("b", "b", probe=True)
    assert proxy.probed == [["b"]]
    assert health.status == health_pb2.SERVING_STATUS_DEGRADED
    assert health.providers[0].status == health_pb2.SERVING_STATUS_NOT_SERVING
    await proxy.health(probe=True)
    assert proxy.probed[-1] == ["a", "b"]
