"""Simulated providers: how long their first token takes, how many calls they serve at once, what is wrong with them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from random import Random
from typing import Final

from msgspec import Struct

from llmproxy_grpc.errors import CapabilityNotSupported, UpstreamRateLimited, UpstreamServerError
from llmproxy_grpc.messages import (
    Candidate,
    CandidateFinish,
    ChatRequest,
    EmbedRequest,
    EmbedResponse,
    FinishReason,
    Message,
    ProviderResponse,
    Role,
    StreamEvent,
    TextDelta,
    TextPart,
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
BETWEEN_TOKENS: Final = 0.02
"""Seconds from one token to the next."""
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
    """A provider that answers everything with one word, after a time by chance.

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
        slowness = await self._begin()
        async with self._places:
            await asyncio.sleep(slowness * FIRST_TOKEN * self._random.lognormvariate(0.0, SPREAD))
            yield [UpstreamStart(""), TextDelta(text="word")]
            usage = await self._write(slowness)
            yield [CandidateFinish(0, FinishReason.STOP, "stop"), UpstreamEnd(usage)]

    async def chat(self, _request: ChatRequest, _upstream_model: str) -> ProviderResponse:
        """The same in one piece."""
        slowness = await self._begin()
        async with self._places:
            await asyncio.sleep(slowness * FIRST_TOKEN * self._random.lognormvariate(0.0, SPREAD))
            usage = await self._write(slowness)
            message = Message(Role.ASSISTANT, (TextPart(text="word"),))
            return ProviderResponse((Candidate(0, message, FinishReason.STOP, "stop"),), usage, "")

    async def embed(self, _request: EmbedRequest, _upstream_model: str) -> EmbedResponse:
        """Makes none."""
        raise CapabilityNotSupported("The simulated provider answers conversations alone.")

    async def count_tokens(self, _request: ChatRequest, _upstream_model: str) -> int:
        """Counts none."""
        raise CapabilityNotSupported("The simulated provider answers conversations alone.")

    async def list_models(self) -> Sequence[UpstreamModel]:
        """One model."""
        return [UpstreamModel("m")]

    async def probe(self) -> None:
        """Answers."""

    async def aclose(self) -> None:
        """Holds nothing open."""

    async def _begin(self) -> float:
        """Notes that it was asked, and does what is wrong with it now; gives its slowness."""
        now = asyncio.get_running_loop().time()
        self.asked_at.append(now)
        error = self._fault.error(now)
        if error is not None:
            await asyncio.sleep(0.001)
            raise error("The simulated provider fails.")
        if self._fault.silent(now):
            await asyncio.Event().wait()
        return self._fault.slowness(now)

    async def _write(self, slowness: float) -> Usage:
        """Writes an answer of a length by chance."""
        seconds = self._random.expovariate(1 / ANSWER)
        await asyncio.sleep(slowness * seconds)
        tokens = round(seconds / BETWEEN_TOKENS)
        return Usage(10, tokens, 10 + tokens)
