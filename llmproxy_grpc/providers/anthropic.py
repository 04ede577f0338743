"""The kind `anthropic`: Claude by Anthropic's Messages API, and every server that speaks it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final, Self

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import CapabilityNotSupported
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse, StreamEvent
from llmproxy_grpc.providers.anthropic_messages.wire import AnthropicMessages
from llmproxy_grpc.providers.credentials import header_sets
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.upstream import Upstream

BASE_URL: Final = "https://api.anthropic.com"
API_VERSION: Final = "2023-06-01"
"""What every server of this API knows; newer ones change nothing that is read or written here."""


class AnthropicProvider:
    """One upstream that speaks the Messages API.

    Args:
        name: The configured name.
        wire: Speaks to the upstream.
    """

    kind = "anthropic"

    def __init__(self, name: str, wire: AnthropicMessages) -> None:
        self.name = name
        self._wire = wire

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close.

        Raises:
            ValueError: Anthropic's own address has no key.
        """
        version: Mapping[str, str] = {"anthropic-version": config.api_version or API_VERSION}
        sets = header_sets(config, "x-api-key", also=version, own_address=config.base_url is None)
        upstream = Upstream(http, config.base_url or BASE_URL, headers=sets)
        return cls(config.name, AnthropicMessages(upstream))

    def features(self, upstream_model: str) -> Features:
        """What a model can do."""
        return self._wire.features(upstream_model)

    def adapt(self, request: ChatRequest, upstream_model: str) -> Adapted:
        """Leaves out the set fields that a model cannot honour."""
        return self._wire.adapt(request, upstream_model)

    async def chat(self, request: ChatRequest, upstream_model: str) -> ProviderResponse:
        """Answers a conversation in one piece."""
        return await self._wire.chat(request, upstream_model)

    def stream(self, request: ChatRequest, upstream_model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers a conversation in batches of events."""
        return self._wire.stream(request, upstream_model)

    async def embed(self, request: EmbedRequest, upstream_model: str) -> EmbedResponse:  # noqa: ARG002 - every kind's signature
        """Makes no vectors."""
        raise CapabilityNotSupported("Anthropic makes no vectors.")

    async def count_tokens(self, request: ChatRequest, upstream_model: str) -> int:
        """Counts the tokens of a prompt."""
        return await self._wire.count_tokens(request, upstream_model)

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the models."""
        return await self._wire.list_models()

    async def probe(self) -> None:
        """Checks that the upstream answers, by asking for one entry of its list."""
        await self._wire.probe()

    async def aclose(self) -> None:
        """Does nothing: the connections belong to the HttpClient."""
