"""A provider that does what a test tells it, step by step, and remembers what it was asked."""

import asyncio
from array import array
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

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
from llmproxy_grpc.providers.features import EmbedFeatures, Features
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported, UpstreamModel

T = TypeVar("T")

USED = Usage(3, 2, 5)

Step = Sequence[StreamEvent] | Exception | Callable[[], Awaitable[None]]
"""A batch of events, an error to raise, or something to wait for."""


def answer(text: str = "Hello there", usage: Usage | None = USED) -> list[Step]:
    """The steps of an ordinary stream: one batch a word, then the end."""
    words = text.split(" ")
    deltas = [[TextDelta(text=word if index == 0 else f" {word}")] for index, word in enumerate(words)]
    return [
        [UpstreamStart("upstream-1")],
        *deltas,
        [CandidateFinish(0, FinishReason.STOP, "stop")],
        [UpstreamEnd(usage)],
    ]


def response(text: str = "Hello there", usage: Usage | None = USED) -> ProviderResponse:
    """An ordinary answer to Chat."""
    message = Message(Role.ASSISTANT, (TextPart(text),))
    return ProviderResponse((Candidate(0, message, FinishReason.STOP, "stop"),), usage, "upstream-1")


def vectors(count: int = 1, usage: Usage | None = USED, *, begin: int = 0) -> EmbedResponse:
    """An ordinary answer to Embed: two numbers for each input, of which the first counts."""
    made = (array("f", (index, 0.5)) for index in range(begin, begin + count))
    return EmbedResponse(tuple(made), usage, "upstream-1")


async def never() -> None:
    """Waits until it is cancelled."""
    await asyncio.Event().wait()


class ScriptedProvider:
    """Each call takes the next script; without one it answers as usual."""

    def __init__(self, name: str = "scripted") -> None:
        self.name = name
        self.kind = "scripted"
        self.streams: deque[Sequence[Step]] = deque()
        self.chats: deque[ProviderResponse | Exception | Callable[[], Awaitable[None]]] = deque()
        self.embeds: deque[EmbedResponse | Exception | Callable[[], Awaitable[None]]] = deque()
        self.counts: deque[int | Exception | Callable[[], Awaitable[None]]] = deque()
        self.requests: list[ChatRequest] = []
        self.embed_requests: list[EmbedRequest] = []
        self.count_requests: list[ChatRequest] = []
        self.can = Features(names=("scripted",), embed=EmbedFeatures(dimensions=True), count_tokens=True)
        self.models: list[str] = ["m"]
        self.unsupported_fields: list[Unsupported] = []
        self.changes: list[Change] = []
        self.probe_error: Exception | None = None
        self.probes = 0
        self.cancelled = 0
        self.finished = 0
        self.closed = False

    def features(self, upstream_model: str) -> Features:
        return self.can

    def adapt(self, request: ChatRequest, upstream_model: str) -> Adapted:
        return Adapted(request, tuple(self.unsupported_fields), tuple(self.changes))

    async def chat(self, request: ChatRequest, upstream_model: str) -> ProviderResponse:
        self.requests.append(request)
        return await self._played(self.chats, response())

    async def stream(self, request: ChatRequest, upstream_model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        self.requests.append(request)
        steps = self.streams.popleft() if self.streams else answer()
        try:
            for step in steps:
                if isinstance(step, Exception):
                    raise step
                if callable(step):
                    await step()
                else:
                    yield step
            self.finished += 1
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise

    async def embed(self, request: EmbedRequest, upstream_model: str) -> EmbedResponse:
        self.embed_requests.append(request)
        return await self._played(self.embeds, vectors(len(request.inputs)))

    async def count_tokens(self, request: ChatRequest, upstream_model: str) -> int:
        self.count_requests.append(request)
        return await self._played(self.counts, 3)

    async def list_models(self) -> Sequence[UpstreamModel]:
        if self.probe_error is not None:
            raise self.probe_error
        return [UpstreamModel(model) for model in self.models]

    async def probe(self) -> None:
        self.probes += 1
        if self.probe_error is not None:
            raise self.probe_error

    async def aclose(self) -> None:
        self.closed = True

    async def _played(self, scripts: "deque[T | Exception | Callable[[], Awaitable[None]]]", usual: T) -> T:
        """Plays the next script of a unary call; without one, the answer is the usual one."""
        script = scripts.popleft() if scripts else usual
        if isinstance(script, Exception):
            raise script
        if not callable(script):
            return script
        try:
            await script()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return usual
