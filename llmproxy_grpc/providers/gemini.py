"""The kind `gemini`: Google's models by generateContent, at AI Studio or at Vertex AI."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final, Self

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import CapabilityNotSupported
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse, StreamEvent
from llmproxy_grpc.providers.credentials import header_sets, keys_of
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.generate_content.wire import AI_STUDIO, GenerateContent, vertex
from llmproxy_grpc.providers.google_token import google_token
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.upstream import Upstream

BASE_URL: Final = "https://generativelanguage.googleapis.com"
KEY_HEADER: Final = "x-goog-api-key"
"""Never the query, which ends in logs."""
GLOBAL: Final = "global"


class GeminiProvider:
    """One upstream that speaks generateContent.

    Args:
        name: The configured name.
        wire: Speaks to the upstream.
    """

    kind = "gemini"

    def __init__(self, name: str, wire: GenerateContent) -> None:
        self.name = name
        self._wire = wire

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close.

        With a `project` it is Vertex AI, else AI Studio.

        Raises:
            ValueError: AI Studio's address has no key; or Vertex AI has none, and google-auth is not installed.
        """
        if config.project is None:
            if config.location is not None:
                raise ValueError(f"provider {config.name!r} has a location but no project")
            sets = header_sets(config, KEY_HEADER, own_address=config.base_url is None)
            upstream = Upstream(http, config.base_url or BASE_URL, headers=sets)
            return cls(config.name, GenerateContent(upstream, AI_STUDIO))
        sets = header_sets(config, KEY_HEADER, own_address=False)
        location = config.location or GLOBAL
        token = None if _has_credential(config) else google_token()
        upstream = Upstream(http, config.base_url or _vertex_address(location), headers=sets)
        return cls(config.name, GenerateContent(upstream, vertex(config.project, location), token=token))

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

    async def embed(self, request: EmbedRequest, upstream_model: str) -> EmbedResponse:
        """Turns inputs into vectors."""
        if self.features(upstream_model).embed is None:
            raise CapabilityNotSupported("This model makes no vectors.")
        return await self._wire.embed(request, upstream_model)

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


def _vertex_address(location: str) -> str:
    host = "aiplatform.googleapis.com" if location == GLOBAL else f"{location}-aiplatform.googleapis.com"
    return f"https://{host}"


def _has_credential(config: ProviderConfig) -> bool:
    names = {name.lower() for name in config.headers}
    return bool(keys_of(config)) or bool(names & {KEY_HEADER, "authorization"})
