"""The Responses API over HTTP."""

from collections.abc import Sequence
from typing import Self

from msgspec.structs import replace

from llmproxy_grpc.errors import CapabilityNotSupported
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, MediaPart, ProviderResponse, TextPart
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.answered_calls import with_answered_calls
from llmproxy_grpc.providers.chat_completions.caching import with_possible_marks
from llmproxy_grpc.providers.chat_completions.counting import NOT_THERE, read_count
from llmproxy_grpc.providers.chat_completions.quirks import Quirks
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http_chat import HttpChat, Reply
from llmproxy_grpc.providers.openai_models import (
    adapt_to_model,
    features_with,
    with_older_schemas,
    with_possible_limit,
)
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.responses_api.features import features_of
from llmproxy_grpc.providers.responses_api.request import RequestEncoder
from llmproxy_grpc.providers.responses_api.stream import EventDecoder, read_answer
from llmproxy_grpc.providers.sse import ServerSentEvent, SseReader
from llmproxy_grpc.providers.upstream import MAX_COUNT_BYTES, Upstream
from llmproxy_grpc.providers.writing import written

_MARKED = (TextPart, MediaPart)


class ResponsesApi(HttpChat[ServerSentEvent]):
    """Speaks with one upstream.

    Args:
        quirks: What the vendor can do by this API.
        names: Whose options, tools and opaque parts are meant for it: the kind, then the vendor, which wins.
        rest: Asks for what is no conversation: vectors and lists of models are where they always were.
        path: Where models answer, below the upstream's address.
        deployment: What the upstream calls every model, where it has but one; empty for their own names.
    """

    def __init__(
        self,
        quirks: Quirks,
        names: tuple[str, ...],
        rest: HttpChat[ServerSentEvent],
        *,
        path: str = "/responses",
        deployment: str = "",
    ) -> None:
        super().__init__(rest.upstream)
        self._quirks = quirks
        self._features = features_of(quirks, names)
        self._encoder = RequestEncoder(quirks, names, deployment=deployment)
        self._rest = rest
        self._path = path

    def speaking_to(self, upstream: Upstream) -> Self:
        """The same, but for whom it speaks to."""
        other = super().speaking_to(upstream)
        other._rest = self._rest.speaking_to(upstream)  # noqa: SLF001 - a copy of this one
        return other

    def features(self, model: str) -> Features:
        """What the upstream can do with a model."""
        features = self._features
        if self._quirks.openai_models:
            features = features_with(with_older_schemas(features, model), model)
        return replace(features, embed=self._rest.features(model).embed)

    def adapt(self, request: ChatRequest, model: str) -> Adapted:
        """Leaves out the set fields that this upstream cannot honour for a model."""
        if self._quirks.openai_models:
            features = with_older_schemas(self._features, model)
            adapted = with_possible_limit(adapt_to_model(request, features, model))
        else:
            adapted = adapt(request, self._features)
        if self._quirks.strict_results:
            adapted = with_answered_calls(adapted, in_time=False)
        # What the model said, and the items of the provider's own, are not marked here.
        return with_possible_marks(adapted, prompts=_MARKED, answers=()) if self._features.cache_hints else adapted

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the body says both
        """Where models answer."""
        return self._path

    def encode(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """Writes an adapted request."""
        return self._encoder.encode(request, model, stream=stream)

    def read(self, data: bytes, reply: Reply) -> ProviderResponse:
        """Reads an answer in one piece."""
        return read_answer(data, reply, limit=self._limit(reply))

    def framing(self) -> SseReader:
        """Events come as server-sent events."""
        return SseReader()

    def decoder(self, reply: Reply) -> EventDecoder:
        """Reads the events of one stream."""
        return EventDecoder(reply, limit=self._limit(reply))

    async def embed(self, request: EmbedRequest, model: str) -> EmbedResponse:
        """Turns inputs into vectors; raises as every provider does."""
        return await self._rest.embed(request, model)

    async def count_tokens(self, request: ChatRequest, model: str) -> int:
        """Counts the tokens of a prompt; raises as every provider does."""
        path = self._quirks.count_path
        if not path:
            raise CapabilityNotSupported("This provider counts no tokens.")
        body = await written(self._encoder.encode_count, request, model)
        headers = await self.headers("POST", path, body)
        async with self.upstream.post(path, body, headers=headers) as response:
            if response.status in NOT_THERE:
                raise CapabilityNotSupported("This server counts no tokens.")
            return await self.upstream.read(response, read_count, MAX_COUNT_BYTES)

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the upstream's models."""
        return await self._rest.list_models()

    async def probe(self) -> None:
        """Raises a ProxyError unless the upstream answers well."""
        await self._rest.probe()

    def _limit(self, reply: Reply) -> int | None:
        return None if self._quirks.tells_limit else reply.request.generation.max_output_tokens
