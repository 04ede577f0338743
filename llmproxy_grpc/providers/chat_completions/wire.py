"""Chat Completions over HTTP: what a kind composes to become a provider."""

from collections.abc import AsyncGenerator, Callable
from secrets import token_hex

from msgspec import Struct

from llmproxy_grpc.errors import ModelNotFound, ProxyError, UpstreamProtocolError
from llmproxy_grpc.messages import ChatRequest, ProviderResponse, StreamEvent, UpstreamStart
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.chat_completions.features import features_of
from llmproxy_grpc.providers.chat_completions.in_band import in_band_error
from llmproxy_grpc.providers.chat_completions.models import read_models
from llmproxy_grpc.providers.chat_completions.quirks import Quirks
from llmproxy_grpc.providers.chat_completions.request import RequestEncoder
from llmproxy_grpc.providers.chat_completions.response import ResponseReader
from llmproxy_grpc.providers.chat_completions.shapes import ANSWER
from llmproxy_grpc.providers.chat_completions.stream import ChunkDecoder, Expectation
from llmproxy_grpc.providers.complaint import request_id
from llmproxy_grpc.providers.events import events_of
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http import HttpResponse
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.sse import SseReader
from llmproxy_grpc.providers.streaming import StreamReader
from llmproxy_grpc.providers.upstream import JSON, Upstream

MAX_LIST_BYTES = 8 * 1024 * 1024


class Dialect(Struct, frozen=True, kw_only=True):
    """How one upstream speaks Chat Completions."""

    quirks: Quirks
    names: tuple[str, ...] = ("openai",)
    """Whose options, tools and opaque parts are meant for it: the kind, then the vendor, which wins."""
    chat_path: Callable[[str], str] = lambda _model: "/chat/completions"
    """Where a model answers, below the address."""
    models_path: str = "/models"
    """Where the models are listed; empty if they are not."""
    probe_path: str = "/models"
    """What to ask for to see whether it answers."""


class ChatCompletions:
    """Speaks Chat Completions with one upstream.

    Args:
        upstream: Whom to speak to.
        dialect: How.
        tail_seconds: How long a stream whose candidates have all ended is read on for its usage.
        new_id: Makes ids for tool calls that have none.
    """

    def __init__(
        self,
        upstream: Upstream,
        dialect: Dialect,
        *,
        tail_seconds: float = 2.0,
        new_id: Callable[[], str] = lambda: f"call_{token_hex(12)}",
    ) -> None:
        self._upstream = upstream
        self._dialect = dialect
        self._encoder = RequestEncoder(dialect.quirks, dialect.names)
        self._features = features_of(dialect.quirks, dialect.names)
        self._tail_seconds = tail_seconds
        self._new_id = new_id

    def features(self, model: str) -> Features:  # noqa: ARG002 - vendors differ, not yet models
        """What this upstream can do with a model."""
        return self._features

    def adapt(self, request: ChatRequest, model: str) -> Adapted:
        """Leaves out the set fields that this upstream cannot honour for a model."""
        return adapt(request, self.features(model))

    async def chat(self, request: ChatRequest, model: str) -> ProviderResponse:
        """Answers a conversation in one piece; raises as every provider does."""
        body = self._encoder.encode(request, model, stream=False)
        async with self._upstream.post(self._dialect.chat_path(model), body) as response:
            return await self._read_answer(response, request, model)

    async def stream(self, request: ChatRequest, model: str) -> AsyncGenerator[list[StreamEvent], None]:
        """Answers a conversation as a stream, as every provider does."""
        body = self._encoder.encode(request, model, stream=True)
        async with self._upstream.post(self._dialect.chat_path(model), body) as response:
            if response.status != 200:
                raise await self._upstream.failure(response)
            yield [UpstreamStart(request_id(response.headers))]
            if response.content_type == JSON:
                yield events_of(await self._read_answer(response, request, model))
                return
            if response.content_type == "text/html":
                raise UpstreamProtocolError("The provider answered with a web page.")
            decoder = self._decoder(request, model, self._upstream.failed(response))
            reader = StreamReader(response, SseReader(), decoder, tail_seconds=self._tail_seconds)
            while batch := await reader.read():
                yield batch

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Lists the upstream's models; none if it has no list."""
        path = self._dialect.models_path
        return read_models(await self._upstream.get(path, MAX_LIST_BYTES)) if path else ()

    async def probe(self) -> None:
        """Raises a ProxyError unless the upstream answers well."""
        try:
            await self._upstream.get(self._dialect.probe_path, MAX_LIST_BYTES)
        except ModelNotFound:
            # 404: an upstream without a list has nothing small to ask for, and answers all the same.
            if self._dialect.models_path:
                raise

    async def _read_answer(self, response: HttpResponse, request: ChatRequest, model: str) -> ProviderResponse:
        # Some keep the connection alive by blank lines before the JSON, which its decoder skips.
        data = await self._upstream.body(response)
        answer = decode(data, ANSWER)
        complaint = in_band_error(answer, data)
        if complaint is not None:
            raise self._upstream.failed(response)(complaint)
        reader = ResponseReader(new_id=self._new_id, show_thinking=request.shows_thinking)
        return reader.read(answer, model=model, request_id=request_id(response.headers))

    def _decoder(self, request: ChatRequest, model: str, failed: Callable[[bytes], ProxyError]) -> ChunkDecoder:
        expectation = Expectation(
            model=model,
            candidates=request.generation.candidate_count or 1,
            show_thinking=request.shows_thinking,
        )
        return ChunkDecoder(expectation, new_id=self._new_id, failed=failed)
