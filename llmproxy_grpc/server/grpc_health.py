"""grpc.health.v1.Health with Check, Watch and List.

Our own servicer: the one of grpcio-health-checking answers List with UNIMPLEMENTED, and an open Watch of it holds
`server.stop` for the whole grace. Ours tells NOT_SERVING when the server stops and returns.
"""

from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, Final

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse

from llmproxy_grpc.errors import ProxyOverloaded, ResourceNotFound
from llmproxy_grpc.server.readiness import Phase, Readiness
from llmproxy_grpc.server.rpc import Method, Rpc
from llmproxy_grpc.server.watches import Watches

SERVICE: Final = "grpc.health.v1.Health"
READINESS_NAMES: Final = ("", "llmproxy.v1.LlmProxyService")
LIVENESS: Final = "liveness"
MOST_WATCHES: Final = 1000
MOST_LISTED: Final = 100
MOST_KEPT: Final = 512
"""Bytes of a Watch request that may be kept as long as the call is open: names of ours are shorter by far."""

CHECK: Final = Method("Check", HealthCheckRequest)
WATCH: Final = Method("Watch", HealthCheckRequest, streaming=True)
LIST: Final = Method("List", HealthListRequest)


class GrpcHealth:
    """Answers probes from state, in constant time.

    Args:
        readiness: The phase of the server.
        overloaded: Whether the server has been refusing calls for a while.
        lookup: Whether `provider/NAME` or `model/ID` serves; None for an unknown name.
        names: The `provider/NAME` and `model/ID` names of the configuration, for List.
        most_watches: Watch calls that may be open at a time.
    """

    def __init__(
        self,
        *,
        readiness: Readiness,
        overloaded: Callable[[], bool],
        lookup: Callable[[str], bool | None],
        names: Callable[[], Iterable[str]],
        most_watches: int = MOST_WATCHES,
    ) -> None:
        self._readiness = readiness
        self._overloaded = overloaded
        self._lookup = lookup
        self._names = names
        self._most_watches = most_watches
        self._watches = Watches(self._status)

    def changed(self) -> None:
        """Has the watches told of what may have changed; at the end of the server, of that."""
        if self._readiness.phase is Phase.STOPPED:
            self._watches.close()
        else:
            self._watches.changed()

    async def check(self, request: HealthCheckRequest, _rpc: Rpc) -> HealthCheckResponse:
        """The status of one name; NOT_FOUND for an unknown one."""
        status = self._status(request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            raise ResourceNotFound("No such service.", metadata={"resource": request.service[:128]})
        return HealthCheckResponse(status=status)

    async def watch(self, request: HealthCheckRequest, rpc: Rpc) -> None:
        """The status of one name now and whenever it changes, until the server stops.

        A request that is too large to be kept is told the status once: usually that there is no such name.
        """
        if self._watches.open >= self._most_watches:
            raise ProxyOverloaded("Too many open Watch calls.", retry_after=30.0)
        if request.ByteSize() > MOST_KEPT:
            # gRPC holds a request, unknown fields and all, until its call ends. So the call has to end.
            await rpc.context.write(HealthCheckResponse(status=self._status(request.service)).SerializeToString())
            return
        async with aclosing(self._watches.statuses(request.service)) as statuses:
            async for status in statuses:
                await rpc.context.write(HealthCheckResponse(status=status).SerializeToString())

    async def list(self, _request: HealthListRequest, _rpc: Rpc) -> HealthListResponse:
        """The status of every name of the configuration, 100 at most."""
        names = [*READINESS_NAMES, LIVENESS, *self._names()][:MOST_LISTED]
        return HealthListResponse(statuses={name: HealthCheckResponse(status=self._status(name)) for name in names})

    def _status(self, service: str) -> Any:
        phase = self._readiness.phase
        if service == LIVENESS:
            return HealthCheckResponse.SERVING
        if service in READINESS_NAMES:
            ready = phase is Phase.SERVING and not self._overloaded()
        elif phase is Phase.STOPPED:
            ready = False
        else:
            known = self._lookup(service)
            if known is None:
                return HealthCheckResponse.SERVICE_UNKNOWN
            ready = known
        return HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING
