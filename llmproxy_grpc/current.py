"""The running server as the servicers see it: always the newest runtime, and what is known of its providers."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from llmproxy_grpc.config.schema import Config, ProviderConfig
from llmproxy_grpc.health.tracker import HealthTracker
from llmproxy_grpc.messages import Price
from llmproxy_grpc.routing.breaker import State
from llmproxy_grpc.routing.catalog import Catalog, Route, Target
from llmproxy_grpc.routing.description import Description
from llmproxy_grpc.routing.outage import Outage
from llmproxy_grpc.routing.router import Router
from llmproxy_grpc.runtime import Runtime
from llmproxy_grpc.server.health import ProviderInfo


class Current:
    """Looks through one reference, which a reload replaces.

    Args:
        runtime: The runtime in force.
        tracker: How the providers are.
        admits: Whether operators let a provider have calls.
    """

    def __init__(
        self, runtime: Callable[[], Runtime], tracker: HealthTracker, admits: Callable[[str], bool] = lambda _name: True
    ) -> None:
        self._runtime = runtime
        self._tracker = tracker
        self._admits = admits

    def config(self) -> Config:
        """The configuration in force."""
        return self._runtime().config

    def catalog(self) -> Catalog:
        """Which models there are."""
        return self._runtime().catalog

    def lend(self) -> AbstractContextManager[Router]:
        """Lends the router to a call."""
        return self._runtime().lend()

    async def probe(self, names: Sequence[str]) -> None:
        """Probes providers now."""
        await self._runtime().probe(names)

    def configured(self) -> Mapping[str, ProviderConfig]:
        """What is configured of each provider, by name."""
        return self._runtime().configured

    def learn(self, outage: Outage) -> None:
        """Takes what another worker has seen of a target."""
        self._runtime().circuits.learn(outage)

    def provider_names(self) -> frozenset[str]:
        """Every provider."""
        return frozenset(self._runtime().providers)

    def admitted_names(self) -> frozenset[str]:
        """The providers that get calls."""
        return frozenset(filter(self._admits, self._runtime().providers))

    def provider_kinds(self) -> Mapping[str, str]:
        """The kind of every provider."""
        return {name: provider.kind for name, provider in self._runtime().providers.items()}

    def knows_model(self, model: str) -> bool:
        """Whether a model is configured or discovered."""
        return self._runtime().catalog.knows(model)

    def knows_provider(self, provider: str) -> bool:
        """Whether there is such a provider."""
        return provider in self._runtime().providers

    def provider_serves(self, name: str) -> bool:
        """Whether a provider gets calls and serves; one that discovery has not found does not."""
        return name in self._runtime().providers and self._admits(name) and self._tracker.serving(name)

    def serves(self, name: str) -> bool | None:
        """Whether `provider/NAME` or `model/ID` serves; None if there is no such thing."""
        kind, _, rest = name.partition("/")
        if kind == "provider" and self.knows_provider(rest):
            return self.provider_serves(rest)
        if kind == "model" and self.knows_model(rest):
            return any(self.provider_serves(target.provider) for target in self.catalog().route(rest).targets)
        return None

    def health_names(self) -> list[str]:
        """The names that grpc.health.v1 lists for providers and configured models."""
        providers = [f"provider/{name}" for name in sorted(self._runtime().providers)]
        return [*providers, *(f"model/{model}" for model in self.catalog().configured())]

    def provider_infos(self) -> Mapping[str, ProviderInfo]:
        """Each provider's kind, models and worst circuit."""
        runtime = self._runtime()
        circuits = runtime.circuits.states()
        return {
            name: ProviderInfo(provider.kind, tuple(runtime.catalog.admitted(name)), circuits.get(name, State.CLOSED))
            for name, provider in runtime.providers.items()
        }

    def circuits(self) -> Mapping[str, str]:
        """The worst circuit of each provider: closed, half_open or open."""
        runtime = self._runtime()
        states = runtime.circuits.states()
        return {name: states.get(name, State.CLOSED).name.lower() for name in runtime.providers}

    def describe(self, route: Route) -> Description:
        """What callers can expect of a model."""
        return self._runtime().describe(route)

    def price(self, target: Target) -> Price | None:
        """What a target costs now; None if that is not known."""
        return self._runtime().prices.quote(target.provider, target.upstream_model).price
