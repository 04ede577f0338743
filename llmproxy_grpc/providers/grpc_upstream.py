"""The kind `grpc`: another proxy of this kind, or anything else that serves llmproxy.v1.LlmProxyService."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, Self

from msgspec.structs import replace

from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2, generation_pb2, health_pb2, model_pb2
from llmproxy_grpc.calls import current_call
from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import CapabilityNotSupported, UpstreamOverloaded, UpstreamProtocolError
from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedRequest,
    EmbedResponse,
    ProviderResponse,
    RoutingPolicy,
    StreamEvent,
)
from llmproxy_grpc.providers.counts import prompt_tokens
from llmproxy_grpc.providers.credentials import secrets_in
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.relay.address import open_channel
from llmproxy_grpc.providers.relay.answers import StreamReading, answer_of, model_of, vectors_of, warnings_of
from llmproxy_grpc.providers.relay.features import FEATURES
from llmproxy_grpc.providers.relay.line import Answer, Line
from llmproxy_grpc.providers.relay.metadata import metadata_sets
from llmproxy_grpc.providers.writing import written
from llmproxy_grpc.wire import (
    count_request,
    from_embed_request,
    from_request,
    stream_request,
)

MOST_PAGES: Final = 100
PAGE: Final = 1000
"""Models of one page, and how many pages of them are read: more are no list but an endless loop."""
MOST_SEGMENTS: Final = 8
"""Parts of a model's name. Proxies that list each other put their names before it each time: at some point it ends."""

_OUT_OF_SERVICE: Final = (health_pb2.SERVING_STATUS_NOT_SERVING, health_pb2.SERVING_STATUS_DRAINING)


class GrpcProvider:
    """One upstream proxy; see `Provider` for what its methods promise.

    Args:
        name: The configured name.
        line: Calls the upstream.
    """

    kind = "grpc"

    def __init__(self, name: str, line: Line) -> None:
        self.name = name
        self._line = line

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:  # noqa: ARG003 - every kind's signature
        """Builds the provider, inside a running event loop.

        Raises:
            ValueError: The address or a header is none that gRPC can use, or a key would travel unencrypted.
        """
        metadata = metadata_sets(config)
        return cls(config.name, Line(open_channel(config), metadata=metadata, secrets=secrets_in(metadata)))

    def by_credential(self) -> Sequence[Self]:
        """The same provider once for each of its credentials."""
        return [self.__class__(self.name, line) for line in self._line.by_credential()]

    def features(self, upstream_model: str) -> Features:  # noqa: ARG002 - as above
        """What the API has; the upstream itself knows better and says so."""
        return FEATURES

    def adapt(self, request: ChatRequest, upstream_model: str) -> Adapted:  # noqa: ARG002 - as above
        """Leaves the request as it is: the upstream adapts it to its own targets."""
        return Adapted(request)

    async def chat(self, request: ChatRequest, upstream_model: str) -> ProviderResponse:
        """Answers a conversation in one piece."""
        onward = await written(from_request, _onward(request, upstream_model))
        return await self._line.ask("Chat", onward, chat_pb2.ChatResponse, answer_of)

    async def stream(self, request: ChatRequest, upstream_model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers a conversation in batches of events, one for each message of the upstream."""
        onward = await written(stream_request, _onward(request, upstream_model))
        reading = StreamReading()
        async with aclosing(self._line.stream(onward, reading.events)) as batches:
            async for events in batches:
                if events:
                    yield events
            yield reading.end()

    async def embed(self, request: EmbedRequest, upstream_model: str) -> EmbedResponse:
        """Turns inputs into vectors, all at once: the upstream splits them as its own targets need."""
        onward = replace(request, model=upstream_model, routing=_policy(request.routing))
        # Where the caller lets it, the upstream may leave out how long they shall be, with a warning.
        dimensions = None if request.routing.drop_unsupported else request.dimensions
        read = partial(vectors_of, count=len(request.inputs), dimensions=dimensions)
        return await self._line.ask("Embed", await written(from_embed_request, onward), embed_pb2.EmbedResponse, read)

    async def count_tokens(self, request: ChatRequest, upstream_model: str) -> int:
        """Counts the tokens of a prompt; an estimate of the upstream is no count, and is made here as well."""
        onward = await written(count_request, _onward(request, upstream_model))
        answer = await self._line.ask("CountTokens", onward, model_pb2.CountTokensResponse, _itself)
        if answer.source != generation_pb2.USAGE_SOURCE_PROVIDER:
            raise CapabilityNotSupported("The upstream proxy can only estimate the tokens of this prompt.")
        call = current_call.get()
        if call is not None:
            call.warnings.extend(warnings_of(answer.warnings))
        return prompt_tokens(answer.input_tokens)

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the upstream's models, by the names that its callers use."""
        models: list[UpstreamModel] = []
        request = model_pb2.ListModelsRequest(page_size=PAGE)
        for _ in range(MOST_PAGES):
            page = await self._line.ask("ListModels", request, model_pb2.ListModelsResponse, _itself)
            models.extend(model_of(model) for model in page.models if model.id.count("/") < MOST_SEGMENTS)
            if len(models) > MOST_PAGES * PAGE:
                break
            if not page.next_page_token:
                return models
            request.page_token = page.next_page_token
        raise UpstreamProtocolError("The provider's list of models does not end.")

    async def probe(self) -> None:
        """Asks the upstream how it is; one that lacks a provider of its own may still serve."""
        health = await self._line.ask("Health", health_pb2.HealthRequest(), health_pb2.HealthResponse, _itself)
        if health.status in _OUT_OF_SERVICE:
            raise UpstreamOverloaded("The upstream proxy takes no calls.")

    async def aclose(self) -> None:
        """Closes the channel."""
        await self._line.aclose()


def _onward(request: ChatRequest, upstream_model: str) -> ChatRequest:
    return replace(request, model=upstream_model, routing=_policy(request.routing))


def _policy(routing: RoutingPolicy) -> RoutingPolicy:
    """The caller's constraints without the names, which mean providers and models of this proxy."""
    return replace(routing, providers=(), fallback_models=())


def _itself(answer: Answer) -> Answer:
    return answer
