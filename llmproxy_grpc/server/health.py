"""Health: how the proxy and its providers are, for people and dashboards."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice

from msgspec import Struct

from llmproxy_grpc import __version__
from llmproxy_grpc._gen.v1 import health_pb2
from llmproxy_grpc.calls import Scope
from llmproxy_grpc.errors import FieldViolation, PermissionDenied
from llmproxy_grpc.health.switchboard import Setting, Switch
from llmproxy_grpc.health.tracker import ProviderState
from llmproxy_grpc.routing.breaker import State
from llmproxy_grpc.server.readiness import Phase, Readiness
from llmproxy_grpc.server.request import invalid
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.server.status import MOST_VIOLATIONS, describe
from llmproxy_grpc.wire.scalars import fill_duration, fill_time


class Load(Struct, frozen=True):
    """What the server is doing; the lag in seconds."""

    active_calls: int
    active_streams: int
    admission_limit: int
    loop_lag: float


class ProviderInfo(Struct, frozen=True):
    """A provider's kind, the models that it serves, and the worst circuit of its models."""

    kind: str
    models: tuple[str, ...]
    circuit: State = State.CLOSED


class HealthServicer:
    """Serves Health from state; it dials a provider only when asked to probe.

    Args:
        readiness: The phase of the server.
        overloaded: Whether calls have been refused for a while.
        started: When the server started.
        providers: The current providers by name.
        state: How a provider is.
        setting: How operators have switched a provider.
        probe: Probes providers now and records what came out.
        load: What the server is doing.
        keeps: Whether records are kept as they should be.
    """

    def __init__(
        self,
        *,
        readiness: Readiness,
        overloaded: Callable[[], bool],
        started: datetime,
        providers: Callable[[], Mapping[str, ProviderInfo]],
        state: Callable[[str], ProviderState],
        setting: Callable[[str], Setting],
        probe: Callable[[Sequence[str]], Awaitable[None]],
        load: Callable[[], Load],
        keeps: Callable[[], bool] = lambda: True,
    ) -> None:
        self._readiness = readiness
        self._overloaded = overloaded
        self._started = started
        self._providers = providers
        self._state = state
        self._setting = setting
        self._probe = probe
        self._load = load
        self._keeps = keeps

    async def health(self, request: health_pb2.HealthRequest, rpc: Rpc) -> health_pb2.HealthResponse:
        """How everything is, or the named providers; to callers without the scope whether it is well, and no more."""
        providers, scopes = self._providers(), rpc.call.caller.scopes
        if request.probe and Scope.ADMIN not in scopes:
            raise PermissionDenied("The caller may not have providers probed.")
        if Scope.HEALTH not in scopes:
            return self._outline(providers)
        wrong = (index for index, name in enumerate(request.providers) if name not in providers)
        unknown = [
            FieldViolation(f"providers[{index}]", "No such provider.") for index in islice(wrong, MOST_VIOLATIONS)
        ]
        if unknown:
            raise invalid(unknown)
        names = list(dict.fromkeys(request.providers)) or sorted(providers)
        if request.probe:
            await self._probe(names)
        states = {name: self._state(name) for name in names}
        response = self._outline(providers)
        fill_time(response.start_time, self._started)
        response.providers.extend(
            _provider(name, providers[name], state, self._setting(name).state) for name, state in states.items()
        )
        load = self._load()
        response.load.active_calls = load.active_calls
        response.load.active_streams = load.active_streams
        response.load.admission_limit = load.admission_limit
        fill_duration(response.load.loop_lag, load.loop_lag)
        return response

    def _outline(self, providers: Iterable[str]) -> health_pb2.HealthResponse:
        """What anybody may know."""
        return health_pb2.HealthResponse(status=self._status(providers), version=__version__)

    def _status(self, providers: Iterable[str]) -> health_pb2.ServingStatus.ValueType:
        phase = self._readiness.phase
        if phase is Phase.DRAINING:
            return health_pb2.SERVING_STATUS_DRAINING
        if phase is not Phase.SERVING or self._overloaded():
            return health_pb2.SERVING_STATUS_NOT_SERVING
        # What operators have taken out of service is none that is relied on.
        relied = (name for name in providers if self._setting(name).state is Switch.ENABLED)
        if self._keeps() and all(self._state(name).serving for name in relied):
            return health_pb2.SERVING_STATUS_SERVING
        return health_pb2.SERVING_STATUS_DEGRADED


def _provider(name: str, info: ProviderInfo, state: ProviderState, switch: Switch) -> health_pb2.ProviderHealth:
    message = health_pb2.ProviderHealth(
        provider=name,
        kind=info.kind,
        status=_provider_status(state, switch),
        circuit=health_pb2.CircuitState.Value(f"CIRCUIT_STATE_{info.circuit.name}"),
        error_rate=state.error_rate,
        in_flight=state.in_flight,
        models=info.models,
    )
    _fill_times(message, state)
    if state.last_error is not None:
        message.last_error = describe(state.last_error)[1]
    return message


def _provider_status(state: ProviderState, switch: Switch) -> health_pb2.ServingStatus.ValueType:
    if switch is Switch.DRAINING:
        return health_pb2.SERVING_STATUS_DRAINING
    if switch is Switch.DISABLED or not state.serving:
        return health_pb2.SERVING_STATUS_NOT_SERVING
    return health_pb2.SERVING_STATUS_SERVING


def _fill_times(message: health_pb2.ProviderHealth, state: ProviderState) -> None:
    if state.last_success is not None:
        fill_time(message.last_success_time, state.last_success)
    if state.last_failure is not None:
        fill_time(message.last_failure_time, state.last_failure)
    if state.checked is not None:
        fill_time(message.check_time, state.checked)
    if state.first_token_p50 is not None:
        fill_duration(message.time_to_first_token_p50, state.first_token_p50)
    if state.first_token_p95 is not None:
        fill_duration(message.time_to_first_token_p95, state.first_token_p95)
