"""Runs one strategy through one scenario, by everything that a server has but its listeners."""

import asyncio
import math
import statistics
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from random import Random
from typing import Final

from msgspec import Struct

from bench.simulation import virtual_time
from bench.simulation.scenarios import ONSET, SCENARIOS
from bench.simulation.targets import HEALTHY, SimulatedProvider
from llmproxy_grpc.calls import ANONYMOUS, Call
from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.health.switchboard import Switchboard
from llmproxy_grpc.health.tracker import HealthTracker
from llmproxy_grpc.messages import ChatRequest, Message, Role, TextPart
from llmproxy_grpc.routing.router import Router
from llmproxy_grpc.routing.vitals import Vitals
from llmproxy_grpc.runtime import Nature, Observers, Runtime

FIXED: Final = "fixed"
"""In place of a strategy: one healthy target alone, which nothing is wrong with."""
NAMES: Final = ("odd", "b", "c", "d")
"""The targets; what goes wrong goes wrong with the first, which is the first in order and the cheapest as well."""
REQUEST: Final = ChatRequest("model", (Message(Role.USER, (TextPart(text="Hello"),)),))
PATIENCE: Final = 10.0
"""Seconds that a target has for its first token."""
DEADLINE: Final = 60.0
REACTION: Final = 15.0
"""Seconds that a strategy has to notice."""


class Load(Struct, frozen=True):
    """How much is asked: calls a second by chance, for so many seconds; so large a share of them not as streams.

    Each call has until its deadline, in seconds.
    """

    rate: float = 50.0
    seconds: float = 120.0
    unary: float = 0.0
    deadline: float = DEADLINE


USUAL: Final = Load()


class Outcome(Struct, frozen=True):
    """What came of one run.

    Attributes:
        waits: Seconds to the first token of each stream that succeeded, failover included, in order of size.
        failed: Calls that failed.
        attempts: Attempts of all calls.
        calls: How many calls there were.
        odd_share: Share of the attempts that went to the odd target after the onset.
        late_share: The same after it had been so for `REACTION` seconds.
    """

    waits: Sequence[float]
    failed: int
    attempts: int
    calls: int
    odd_share: float
    late_share: float

    @property
    def amplification(self) -> float:
        """Attempts of one call, on average."""
        return self.attempts / self.calls

    def quantile(self, share: float) -> float:
        """The wait that this share of the calls does not exceed."""
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))] if self.waits else math.inf


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """Several runs as one."""
    return Outcome(
        sorted(wait for outcome in outcomes for wait in outcome.waits),
        sum(outcome.failed for outcome in outcomes),
        sum(outcome.attempts for outcome in outcomes),
        sum(outcome.calls for outcome in outcomes),
        statistics.fmean(outcome.odd_share for outcome in outcomes),
        statistics.fmean(outcome.late_share for outcome in outcomes),
    )


def simulate(strategy: str, scenario: str, *, seed: int, load: Load = USUAL) -> Outcome:
    """Runs a strategy, or `FIXED`, through a scenario."""
    return virtual_time.run(_Run(strategy, scenario, seed, load).outcome())


class _Run:
    """One strategy in one scenario."""

    def __init__(self, strategy: str, scenario: str, seed: int, load: Load) -> None:
        self._random = Random(f"{seed}")
        self._load = load
        names = NAMES[1:2] if strategy == FIXED else NAMES
        faults = {name: SCENARIOS[scenario] if name == NAMES[0] else HEALTHY for name in names}
        self._providers = {
            name: SimulatedProvider(name, fault, Random(f"{seed} {name}")) for name, fault in faults.items()
        }
        self._config = Config.model_validate(
            {
                "providers": [{"name": name, "kind": "echo"} for name in names],
                "models": [
                    {
                        "id": "model",
                        "strategy": "priority" if strategy == FIXED else strategy,
                        "targets": [{"provider": name, "model": "m"} for name in names],
                    }
                ],
                "timeouts": {"first_token": PATIENCE},
            }
        )
        self._waits: list[float] = []
        self._failed = 0
        self._attempts = 0
        self._calls = 0

    async def outcome(self) -> Outcome:
        """Makes the calls, and tells what came of them."""
        loop = asyncio.get_running_loop()
        tracker = HealthTracker(loop.time, lambda: datetime.now(UTC))
        vitals = Vitals(loop.time)
        runtime = await Runtime.build(
            self._config,
            self._config.providers,
            Observers((vitals, tracker), tracker, vitals, Switchboard()),
            lambda config, _http: self._providers[config.name],
            nature=Nature(loop.time, self._random),
        )
        await self._drive(runtime.router)
        await runtime.aclose()
        asked = {name: provider.asked_at for name, provider in self._providers.items()}
        return Outcome(
            sorted(self._waits),
            self._failed,
            self._attempts,
            self._calls,
            _share(asked, ONSET),
            _share(asked, ONSET + REACTION),
        )

    async def _drive(self, router: Router) -> None:
        """Makes calls, each as long after the one before as chance will have it."""
        arrivals = Random(self._random.random())
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as calls:
            while loop.time() < self._load.seconds:
                self._calls += 1
                whole = self._load.unary > 0 and arrivals.random() < self._load.unary
                ask = self._ask if whole else self._stream
                calls.create_task(self._call(router, f"{self._calls}", ask))
                await asyncio.sleep(arrivals.expovariate(self._load.rate))

    async def _call(self, router: Router, name: str, ask: Callable[[Router, Call], Awaitable[None]]) -> None:
        """Makes one call, to its end."""
        now = asyncio.get_running_loop().time()
        method = "Chat" if ask == self._ask else "Stream"
        call = Call(name, method, "", ANONYMOUS, datetime.now(UTC), now, now + self._load.deadline, model="model")
        try:
            async with asyncio.timeout_at(call.deadline_at):
                await ask(router, call)
        except (ProxyError, TimeoutError):
            self._failed += 1
        if call.first_output_at is not None:
            self._waits.append(call.first_output_at - now)
        self._attempts += len(call.attempts)

    async def _ask(self, router: Router, call: Call) -> None:
        await router.chat(call, REQUEST)

    async def _stream(self, router: Router, call: Call) -> None:
        async with aclosing(router.stream(call, REQUEST)) as batches:
            async for _ in batches:
                pass


def _share(asked: dict[str, list[float]], since: float) -> float:
    """The odd target's share of the attempts since then."""
    counts = {name: sum(at >= since for at in times) for name, times in asked.items()}
    return counts.get(NAMES[0], 0) / max(1, sum(counts.values()))
