"""One configuration, running: its providers, catalog and router; a reload builds a new one and drains the old."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from random import Random
from typing import Final, Self

from msgspec import Struct, field

from llmproxy_grpc.calls import CallObserver
from llmproxy_grpc.config.faults import ConfigError, ConfigFault
from llmproxy_grpc.config.schema import Config, ProviderConfig
from llmproxy_grpc.config.tree import Problem, spell
from llmproxy_grpc.errors import ModelNotFound, ProxyError, UpstreamTimeout
from llmproxy_grpc.health.switchboard import Switchboard
from llmproxy_grpc.health.tracker import HealthTracker
from llmproxy_grpc.lending import Lending
from llmproxy_grpc.messages import Price
from llmproxy_grpc.pricing.prices import Prices
from llmproxy_grpc.pricing.shipped import shipped
from llmproxy_grpc.pricing.table import PriceTable
from llmproxy_grpc.providers import registry
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.presets import PRESETS
from llmproxy_grpc.providers.provider import Provider, by_credential
from llmproxy_grpc.routing.candidates import Chooser
from llmproxy_grpc.routing.catalog import DEFAULT, Catalog, Route
from llmproxy_grpc.routing.circuits import Circuits, nobody
from llmproxy_grpc.routing.concurrency import Concurrency
from llmproxy_grpc.routing.description import Description, describe
from llmproxy_grpc.routing.directory import Directory
from llmproxy_grpc.routing.hedging import Hedging
from llmproxy_grpc.routing.ordering import Ordering
from llmproxy_grpc.routing.outage import Outage
from llmproxy_grpc.routing.retry import Retries
from llmproxy_grpc.routing.router import Router
from llmproxy_grpc.routing.strategies.strategy import Means
from llmproxy_grpc.routing.strategies.table import BY_VITALS
from llmproxy_grpc.routing.underway import Underway
from llmproxy_grpc.routing.vitals import Vitals

ECHO: Final = "echo"
"""The kind that only repeats."""
FIRST_LISTS: Final = 0.5
"""How long, in seconds, the start waits for the providers' lists of models."""


class Observers(Struct, frozen=True):
    """Who is told of attempts, probes and outages, who knows how targets do, whether they get calls and what runs."""

    calls: Sequence[CallObserver]
    health: HealthTracker
    vitals: Vitals
    switchboard: Switchboard
    tell_outage: Callable[[Outage], None] = nobody
    underway: Underway = field(default_factory=Underway)


class Nature(Struct, frozen=True):
    """Where time and chance come from: the monotonic clock, in seconds, and what spreads waits and choices."""

    clock: Callable[[], float] = time.monotonic
    random: Random = field(default_factory=Random)


class Runtime:
    """What a configuration became. Nothing in it changes but what its parts learn."""

    def __init__(
        self,
        config: Config,
        providers: Sequence[ProviderConfig],
        observers: Observers,
        *,
        built: Mapping[str, Provider],
        owned: AsyncExitStack,
        nature: Nature,
    ) -> None:
        self.config = config
        self.configured = {provider.name: provider for provider in providers}
        """What is configured of each provider, by name."""
        self._health = observers.health
        self.providers = built
        self._owned = owned
        self.directory = Directory(self.providers, config.health.timeout, observers.health.record)
        self.catalog = Catalog(config, providers, self.directory.lists)
        self.prices = Prices(PriceTable(shipped(), config.prices.rows), providers, listed=self._listed_price)
        rotating = {name: faces for name, each in built.items() if len(faces := by_credential(each)) > 1}
        self.circuits = Circuits(
            config.breaker,
            credentials={name: len(faces) for name, faces in rotating.items()},
            clock=nature.clock,
            random=nature.random,
            groups=[route.targets for route in self.catalog.routes()],
            tell=observers.tell_outage,
        )
        self.concurrency = _concurrency(providers)
        self.retries = Retries(config.retries, clock=nature.clock, random=nature.random, sleep=asyncio.sleep)
        self.router = Router(
            chooser=Chooser(
                self.catalog.route,
                self.providers,
                registry.known_kinds() | PRESETS.keys() | {provider.kind for provider in self.providers.values()},
                listed=self.directory.find,
                ordering=Ordering(Means(observers.vitals, self.prices.quote, nature.random.random)),
            ),
            prices=self.prices,
            timeouts=config.timeouts,
            retries=self.retries,
            circuits=self.circuits,
            by_credential=rotating,
            concurrency=self.concurrency,
            hedging=Hedging(config.hedging, nature.clock) if config.hedging.enabled else None,
            continues=lambda model: self.catalog.route(model).continues,
            admits=observers.switchboard.admits,
            underway=observers.underway,
            observers=(*observers.calls, self.concurrency) if self.concurrency.learns else observers.calls,
            clock=nature.clock,
        )
        observers.vitals.watch(
            target for route in self.catalog.routes() if route.strategy in BY_VITALS for target in route.targets
        )
        self._lending = Lending(self.router)
        self._refreshing: asyncio.Task[None] | None = None
        self._probing: dict[str, asyncio.Task[None]] = {}

    @classmethod
    async def build(
        cls,
        config: Config,
        providers: Sequence[ProviderConfig],
        observers: Observers,
        build: registry.Build,
        *,
        nature: Nature | None = None,
    ) -> Self:
        """Builds everything, or nothing.

        Raises:
            ConfigError: Names each provider that cannot be built.
        """
        async with AsyncExitStack() as stack:
            built, problems = await _build_all(config, providers, build, stack)
            if problems:
                raise ConfigError(
                    ConfigFault("configuration", None, spell(problem.path), None, problem.message)
                    for problem in problems
                )
            return cls(config, providers, observers, built=built, owned=stack.pop_all(), nature=nature or Nature())

    def remember(self, before: "Runtime") -> None:
        """Takes over what was learned of providers, and what still runs and was spent with those that are there yet."""
        stayed = [(now, before.configured[name]) for name, now in self.configured.items() if name in before.configured]
        same = {now.name for now, old in stayed if now.does_as(old)}
        there = {now.name for now, old in stayed if now.stands_where(old)}
        for name, models in before.directory.lists().items():
            if name in same:
                self.directory.remember(name, models)
        self.circuits.adopt(before.circuits, same)
        self.concurrency.adopt(before.concurrency, same=same, there=there)
        self.retries.adopt(before.retries, there)

    async def start(self) -> None:
        """Begins to list models; returns when the lists are there, or after half a second."""
        self._refreshing = asyncio.create_task(self.directory.run())
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LISTS):
                await self.directory.refreshed.wait()

    def lend(self) -> AbstractContextManager[Router]:
        """Lends the router to a call; closing waits for it."""
        return self._lending

    async def probe(self, names: Sequence[str]) -> None:
        """Probes providers at once and records what came out; whoever asks meanwhile waits for the same probe."""
        probes = []
        for name in names:
            if name not in self._probing:
                self._probing[name] = asyncio.create_task(self._probe(name))
            probes.append(self._probing[name])
        # Unlike awaiting the tasks, this leaves them to the others when one caller goes.
        done, _ = await asyncio.wait(probes) if probes else ((), ())
        for probe in done:
            probe.result()

    def describe(self, route: Route) -> Description:
        """What callers can expect of a model."""
        return describe(route, self.providers, self.directory.find)

    def to_try(self) -> str:
        """The model for a first call: the default one if there is one, else another, but rather one that does not echo.

        Empty if there is none.
        """
        models = [*([DEFAULT] if self.catalog.knows(DEFAULT) else ()), *self.catalog.listed()]
        return next((model for model in models if not self.echoes(model)), models[0] if models else "")

    def echoes(self, model: str) -> bool:
        """Whether `echo` may answer who asks for a model."""
        try:
            targets = self.catalog.route(model).targets
        except ModelNotFound:
            return False
        names = {target.provider for target in targets}
        return any(self.providers[name].kind == ECHO for name in names & self.providers.keys())

    async def aclose(self) -> None:
        """Waits for the calls that hold it, then closes the providers, every one even if another cannot be."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait((self._refreshing,))
        await self._lending.all_back()
        await self._owned.aclose()

    def _listed_price(self, provider: str, upstream_model: str) -> Price | None:
        listed = self.directory.find(provider, upstream_model)
        return None if listed is None else listed.price

    async def _probe(self, name: str) -> None:
        error: ProxyError | None = None
        timeout = self.config.health.timeout
        try:
            with self.lend():
                async with asyncio.timeout(timeout):
                    await self.providers[name].probe()
        except TimeoutError:
            error = UpstreamTimeout(f"The provider did not answer a probe within {timeout:.3g} s.")
        except ProxyError as raised:
            error = raised
        finally:
            del self._probing[name]
        self._health.probed(name, error)


def buildable_providers(config: Config) -> Iterator[Problem]:
    """A rule for the loader: every configured provider must be one that can be built, its kind, preset and key."""
    yield from asyncio.run(_unbuildable(config))


async def _unbuildable(config: Config) -> list[Problem]:
    async with AsyncExitStack() as stack:
        _, problems = await _build_all(config, config.providers, registry.build, stack)
    return problems


def _concurrency(providers: Sequence[ProviderConfig]) -> Concurrency:
    """The bounds of attempts in flight, as configured."""
    limits = {provider.name: provider.max_in_flight for provider in providers}
    fixed = {name: limit for name, limit in limits.items() if isinstance(limit, int)}
    return Concurrency(
        fixed,
        learned=[name for name, limit in limits.items() if limit == "auto"],
        unlimited=[name for name, limit in limits.items() if limit is None],
    )


async def _build_all(
    config: Config, providers: Sequence[ProviderConfig], build: registry.Build, stack: AsyncExitStack
) -> tuple[dict[str, Provider], list[Problem]]:
    """The providers by name, and a problem for each one that cannot be built; `stack` closes what was."""
    http = HttpClient(
        connect_timeout=config.timeouts.connect,
        max_connections=config.connections.most or 0,
        keepalive=config.connections.keepalive,
    )
    stack.push_async_callback(http.aclose)
    built: dict[str, Provider] = {}
    problems: list[Problem] = []
    for index, provider in enumerate(providers):
        try:
            built[provider.name] = build(provider, http)
        except ValueError as error:
            problems.append(Problem(("providers", index), str(error)))
        else:
            stack.push_async_callback(built[provider.name].aclose)
    return built, problems
