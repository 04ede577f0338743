"""The kind `openai`: OpenAI's Chat Completions, and every vendor and server that speaks them."""

from collections.abc import AsyncGenerator, Sequence
from typing import Self
from urllib.parse import urlsplit

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse, StreamEvent
from llmproxy_grpc.providers.chat_completions.quirks import Quirks, overlay
from llmproxy_grpc.providers.chat_completions.wire import ChatCompletions, Dialect
from llmproxy_grpc.providers.credentials import header_sets
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.presets import PRESETS, Preset
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.upstream import Upstream

_OPENAI_HOST = "api.openai.com"


class OpenAiProvider:
    """One upstream that speaks Chat Completions.

    Args:
        name: The configured name.
        wire: Speaks to the upstream.
    """

    kind = "openai"

    def __init__(self, name: str, wire: ChatCompletions) -> None:
        self.name = name
        self._wire = wire

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close.

        Without a preset, an address other than OpenAI's own is taken for a compatible server.

        Raises:
            ValueError: The preset or a flag of the quirks is unknown, or address or key is missing.
        """
        preset = preset_of(config)
        base_url = config.base_url or preset.base_url
        if not base_url:
            raise ValueError(f"provider {config.name!r} needs a base_url")
        dialect = Dialect(
            quirks=_quirks(config, preset),
            names=(cls.kind,) if preset.name == cls.kind else (cls.kind, preset.name),
            models_path=preset.models_path,
            probe_path=preset.probe_path,
        )
        own_address = bool(preset.key_variable) and config.base_url is None
        sets = header_sets(config, "authorization", scheme="Bearer", own_address=own_address)
        upstream = Upstream(http, base_url, headers=sets)
        return cls(config.name, ChatCompletions(upstream, dialect))

    def features(self, upstream_model: str) -> Features:
        """What the vendor can do."""
        return self._wire.features(upstream_model)

    def adapt(self, request: ChatRequest, upstream_model: str) -> Adapted:
        """Leaves out the set fields that the vendor cannot honour."""
        return self._wire.adapt(request, upstream_model)

    async def chat(self, request: ChatRequest, upstream_model: str) -> ProviderResponse:
        """Answers a conversation in one piece."""
        return await self._wire.chat(request, upstream_model)

    def stream(self, request: ChatRequest, upstream_model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers a conversation in batches of events."""
        return self._wire.stream(request, upstream_model)

    async def embed(self, request: EmbedRequest, upstream_model: str) -> EmbedResponse:
        """Turns texts into vectors, where the vendor does."""
        return await self._wire.embed(request, upstream_model)

    async def count_tokens(self, request: ChatRequest, upstream_model: str) -> int:
        """Counts the tokens of a prompt, where the vendor does."""
        return await self._wire.count_tokens(request, upstream_model)

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the vendor's models; none where the vendor has no such list."""
        return await self._wire.list_models()

    async def probe(self) -> None:
        """Checks that the vendor answers, by asking for something small."""
        await self._wire.probe()

    async def aclose(self) -> None:
        """Does nothing: the connections belong to the HttpClient."""


def preset_of(config: ProviderConfig) -> Preset:
    """The row that describes a configured provider.

    Raises:
        ValueError: There is no such preset.
    """
    if config.preset is not None:
        preset = PRESETS.get(config.preset)
        if preset is None:
            known = ", ".join(sorted(PRESETS))
            raise ValueError(f"provider {config.name!r}: preset {config.preset!r} is unknown; there are {known}")
        return preset
    if config.base_url is None or urlsplit(config.base_url).hostname == _OPENAI_HOST:
        return PRESETS["openai"]
    return PRESETS["compatible"]


def _quirks(config: ProviderConfig, preset: Preset) -> Quirks:
    try:
        return overlay(preset.quirks, config.quirks)
    except ValueError as error:
        raise ValueError(f"provider {config.name!r}: {error}") from None
