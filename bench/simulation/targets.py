"""Simulated providers: how long their first token takes, how many calls they serve at once, what is wrong with them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from random import Random
from typing import Final

from msgspec import Struct

from llmproxy_grpc.errors import CapabilityNotSupported, UpstreamRateLimited, UpstreamServerError
from llmproxy_grpc.messages import (
    CandidateFinish,
    ChatRequest,
    EmbedRequest,
    EmbedResponse,
    FinishReason,
    ProviderResponse,
    StreamEvent,
    TextDelta,
    UpstreamEnd,
    UpstreamStart,
    Usage,
)
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel

FIRST_TOKEN: Final = 0.3
"""Median seconds to the first token of a healthy target with a place free."""
SPREAD: Final = 0.3
"""Standard deviation of its logarithm."""
ANSWER: Final = 1.0
"""Seconds from the first token to the end, on average."""
AT_ONCE: Final = 128
"""Calls that a target serves at once; others wait for a place."""
FEATURES: Final = Features(names=("simulated",))


class Fault(Struct, frozen=True):
    """What is wrong with a target, by the seconds since the start.

    Attributes:
        slowness: What its times are multiplied by.
        error: The error that it answers at once; None if it serves.
        silent: Whether it never answers at all.
    """

    slowness: Callable[[float], float] = lambda _now: 1.0
    error: Callable[[float], type[UpstreamServerError] | type[UpstreamRateLimited] | None] = lambda _now: None
    silent: Callable[[float], bool] = lambda _now: False


HEALTHY: Final = Fault()


class SimulatedProvider:
    """A provider that answers every stream with one word, after a time by chance.

    Args:
        name: Its name.
        fault: What is wrong with it.
        random: Chance, with a seed.
    """

    kind = "simulated"

    def __init__(self, name: str, fault: Fault, random: Random) -> None:
        self.name = name
        self._fault = fault
        self._random = random
        self._places = asyncio.Semaphore(AT_ONCE)
        self.asked_at: list[float] = []
        """When it was asked."""

    def features(self, _upstream_model: str) -> Features:
        """Text alone."""
        return FEATURES

    def adapt(self, request: ChatRequest, _upstream_model: str) -> Adapted:
        """Takes everything."""
        return Adapted(request)

    async def stream(self, _request: ChatRequest, _upstream_model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers, or does what is wrong with it."""
        now = asyncio.get_running_loop().time()
        self.asked_at.append(now)
        error = self._fault.error(now)
        if error is not None:
            await asyncio.sleep(0.001)
            raise error("The simulated provider fails.")
        if self._fault.silent(now):
            await asyncio.Event().wait()
        async with self._places:
            slowness = self._fault.slowness(now)
            await asyncio.sleep(slowness * FIRST_TOKEN * self._random.lognormvariate(0.0, SPREAD))
            yield [UpstreamStart(""), TextDelta(text="word")]
            await asyncio.sleep(slowness * self._random.expovariate(1 / ANSWER))
            yield [CandidateFinish(0, FinishReason.STOP, "stop"), UpstreamEnd(Usage(10, 10, 20))]

    async def chat(self, _request: ChatRequest, _upstream_model: str) -> ProviderResponse:
        """Streams alone are simulated."""
        raise CapabilityNotSupported("The simulated provider streams alone.")

    async def embed(self, _request: EmbedRequest, _upstream_model: str) -> EmbedResponse:
        """As `chat`."""
        raise CapabilityNotSupported("The simulated provider streams alone.")

    async def count_tokens(self, _request: ChatRequest, _upstream_model: str) -> int:
        """As `chat`."""
        raise CapabilityNotSupported("The simulated provider streams alone.")

    async def list_models(self) -> Sequence[UpstreamModel]:
        """One model."""
        return [UpstreamModel("m")]

    async def probe(self) -> None:
        """Answers."""

    async def aclose(self) -> None:
        """Holds nothing open."""
