"""The operators' side of a running server: what they see of its health, and how what they switch reaches the calls."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from llmproxy_grpc.current import Current
from llmproxy_grpc.errors import NoProviderAvailable
from llmproxy_grpc.health.changes import Changes
from llmproxy_grpc.health.monitor import Monitor
from llmproxy_grpc.health.switchboard import Switch, Switchboard, Switching
from llmproxy_grpc.health.tracker import HealthTracker
from llmproxy_grpc.routing.underway import Underway
from llmproxy_grpc.runtime import Runtime
from llmproxy_grpc.server.admin import AdminServicer, ProviderFacts
from llmproxy_grpc.server.grpc_health import GrpcHealth
from llmproxy_grpc.server.health import HealthServicer, Load
from llmproxy_grpc.server.interceptors.admission import Admission
from llmproxy_grpc.server.readiness import Readiness

RETRY_AFTER: Final = 1.0
"""Seconds that the caller of a call that ends for it is asked to wait: another provider may serve it at once."""


class Operators:
    """Makes what serves operators and probes, of what knows and decides.

    Args:
        current: The running server.
        changes: Told of everything that health is made of.
        readiness: The phase of the server.
        tracker: What is known of the providers.
        switchboard: Which providers get calls.
        admission: The calls in flight.
        underway: The attempts in flight.
    """

    def __init__(
        self,
        current: Current,
        changes: Changes,
        *,
        readiness: Readiness,
        tracker: HealthTracker,
        switchboard: Switchboard,
        admission: Admission,
        underway: Underway,
    ) -> None:
        self._current = current
        self._changes = changes
        self._readiness = readiness
        self._tracker = tracker
        self._switchboard = switchboard
        self._admission = admission
        self._underway = underway
        switchboard.listen(self._switched)
        self.monitor: Final = Monitor(
            providers=current.admitted_names,
            last_traffic=tracker.last_traffic,
            probe=current.probe,
            interval=lambda: current.config().health.interval,
        )
        """Probes the providers that get calls but have none."""

    def configure(self, runtime: Runtime) -> None:
        """Takes what the configuration says of its providers; the tracker forgets those that are gone."""
        self._tracker.keep(runtime.providers)
        self._switchboard.configure({name: Switch(provider.state) for name, provider in runtime.configured.items()})
        self._changes.tell()

    def grpc_health(self) -> GrpcHealth:
        """What serves grpc.health.v1."""
        health = GrpcHealth(
            readiness=self._readiness,
            overloaded=self._admission.overloaded,
            lookup=self._current.serves,
            names=self._current.health_names,
        )
        self._changes.listen(health.changed)
        return health

    def health_servicer(self, started: datetime, load: Callable[[], Load], keeps: Callable[[], bool]) -> HealthServicer:
        """What serves the RPC Health; `keeps` says whether records are kept as they should be."""
        return HealthServicer(
            readiness=self._readiness,
            overloaded=self._admission.overloaded,
            started=started,
            providers=self._current.provider_infos,
            state=self._tracker.state,
            setting=self._switchboard.setting,
            probe=self._probe,
            load=load,
            keeps=keeps,
        )

    def admin_servicer(self, publish: Callable[[Switching], None]) -> AdminServicer:
        """What serves AdminService.

        Args:
            publish: Tells the other processes of this proxy, which give it to `Switchboard.switch`.
        """
        return AdminServicer(
            switchboard=self._switchboard,
            providers=self._facts,
            now=lambda: datetime.now(UTC),
            publish=publish,
        )

    async def _probe(self, names: Sequence[str]) -> None:
        """Probes those of which no probe has told just now: who asks again and again must not multiply them."""
        await self._current.probe([name for name in names if not self._tracker.just_probed(name)])

    def _facts(self) -> Mapping[str, ProviderFacts]:
        return {
            name: ProviderFacts(kind, self._tracker.in_flight(name), self._tracker.serving(name))
            for name, kind in self._current.provider_kinds().items()
        }

    def _switched(self, switching: Switching) -> None:
        name = switching.provider
        if switching.state is Switch.DISABLED:
            self._underway.withdraw(name, lambda: _ended(name))
        self._changes.tell()


def _ended(provider: str) -> NoProviderAvailable:
    return NoProviderAvailable(
        f"Operators have taken {provider} out of service while it answered.",
        retry_after=RETRY_AFTER,
        metadata={"providers": provider},
    )
