"""The kind `ollama`: models on a server of one's own, by Ollama's own API."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final, Self

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import CapabilityNotSupported
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse, StreamEvent
from llmproxy_grpc.providers.credentials import header_sets
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.ollama_chat.wire import OllamaChat
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.upstream import Upstream

BASE_URL: Final = "http://127.0.0.1:11434"


class OllamaProvider:
    """One Ollama server.

    Args:
        name: The configured name.
        wire: Speaks to the server.
    """

    kind = "ollama"

    def __init__(self, name: str, wire: OllamaChat) -> None:
        self.name = name
        self._wire = wire

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close. A key is optional."""
        sets = header_sets(config, "authorization", scheme="Bearer", own_address=False)
        return cls(config.name, OllamaChat(Upstream(http, config.base_url or BASE_URL, headers=sets)))

    def features(self, upstream_model: str) -> Features:
        """What a model can do."""
        return self._wire.features(upstream_model)

    def adapt(self, request: ChatRequest, upstream_model: str) -> Adapted:
        """Leaves out the set fields that Ollama cannot honour."""
        return self._wire.adapt(request, upstream_model)

    async def chat(self, request: ChatRequest, upstream_model: str) -> ProviderResponse:
        """Answers a conversation in one piece."""
        return await self._wire.chat(request, upstream_model)

    def stream(self, request: ChatRequest, upstream_model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers a conversation in batches of events."""
        return self._wire.stream(request, upstream_model)

    async def embed(self, request: EmbedRequest, upstream_model: str) -> EmbedResponse:
        """Turns inputs into vectors."""
        return await self._wire.embed(request, upstream_model)

    async def count_tokens(self, request: ChatRequest, upstream_model: str) -> int:  # noqa: ARG002 - every kind's signature
        """Counts no tokens beforehand."""
        raise CapabilityNotSupported("Ollama counts tokens only while it answers.")

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the models."""
        return await self._wire.list_models()

    async def probe(self) -> None:
        """Checks that the server answers, by asking for its version."""
        await self._wire.probe()

    async def aclose(self) -> None:
        """Does nothing: the connections belong to the HttpClient."""
