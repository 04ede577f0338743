"""A router with nothing around it, under a clock that a test moves: what it waits for passes at once."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

from llmproxy_grpc.calls import ANONYMOUS, Call, CallObserver
from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.messages import ChatRequest, Message, Role, TextPart
from llmproxy_grpc.pricing.prices import Prices
from llmproxy_grpc.pricing.shipped import shipped
from llmproxy_grpc.pricing.table import PriceTable
from llmproxy_grpc.routing.candidates import Chooser
from llmproxy_grpc.routing.catalog import Catalog
from llmproxy_grpc.routing.circuits import Circuits
from llmproxy_grpc.routing.concurrency import Concurrency
from llmproxy_grpc.routing.ordering import Ordering
from llmproxy_grpc.routing.retry import Retries
from llmproxy_grpc.routing.router import Router
from llmproxy_grpc.routing.strategies.strategy import Means
from llmproxy_grpc.routing.vitals import Vitals
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_provider import ScriptedProvider

ASKED = ChatRequest("assistant", (Message(Role.USER, (TextPart("Hi"),)),))


class Bench:
    """A router over scripted providers: the model `assistant` has one target at each, in order.

    Args:
        names: The providers.
        seed: For everything that is left to chance.
        observers: Told of every attempt.
        sections: Of the configuration.
    """

    def __init__(self, *names: str, seed: int = 7, observers: Sequence[CallObserver] = (), **sections: Any) -> None:
        self.clock = FakeClock()
        self.waits: list[float] = []
        self.providers = {name: ScriptedProvider(name) for name in names}
        self.config = Config.model_validate(
            {
                "providers": [{"name": name, "kind": "scripted"} for name in names],
                "models": [{"id": "assistant", "targets": [{"provider": name, "model": "m"} for name in names]}],
                **sections,
            }
        )
        random = Random(seed)
        self.circuits = Circuits(
            self.config.breaker,
            credentials={},
            clock=self.clock,
            random=random,
            groups=[route.targets for route in Catalog(self.config, self.config.providers, dict).routes()],
        )
        self.router = self._router(random, observers)

    def call(self, *, seconds: float = 600.0, method: str = "Chat", previous_attempts: int = 0) -> Call:
        """A call that begins now and has so many seconds."""
        now = self.clock()
        when = datetime(2026, 1, 1, tzinfo=UTC)
        return Call("id", method, "request", ANONYMOUS, when, now, now + seconds, previous_attempts=previous_attempts)

    async def chat(self, call: Call | None = None) -> Call:
        """Makes a call, and gives it back; raises as the router does."""
        call = call or self.call()
        await self.router.chat(call, ASKED)
        return call

    async def sleep(self, seconds: float) -> None:
        """Lets time pass at once."""
        self.waits.append(seconds)
        self.clock.advance(seconds)

    def asked(self) -> Mapping[str, int]:
        """How often each provider was asked."""
        return {name: len(provider.requests) for name, provider in self.providers.items()}

    def _router(self, random: Random, observers: Sequence[CallObserver]) -> Router:
        config = self.config
        catalog = Catalog(config, config.providers, dict)
        prices = Prices(PriceTable(shipped()), config.providers, listed=lambda _provider, _model: None)
        vitals = Vitals(self.clock)
        vitals.watch(target for route in catalog.routes() for target in route.targets)
        return Router(
            chooser=Chooser(
                catalog.route,
                self.providers,
                frozenset(),
                listed=lambda _provider, _model: None,
                ordering=Ordering(Means(vitals, prices.quote, random.random)),
            ),
            prices=prices,
            timeouts=config.timeouts,
            retries=Retries(config.retries, clock=self.clock, random=random, sleep=self.sleep),
            circuits=self.circuits,
            by_credential={},
            concurrency=Concurrency({}),
            hedging=None,
            continues=lambda model: catalog.route(model).continues,
            observers=(vitals, *observers),
            clock=self.clock,
        )
