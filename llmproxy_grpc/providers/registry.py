"""The kinds of providers by name, those of other packages included."""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.anthropic import AnthropicProvider
from llmproxy_grpc.providers.azure import AzureProvider
from llmproxy_grpc.providers.bedrock import BedrockProvider
from llmproxy_grpc.providers.cohere import CohereProvider
from llmproxy_grpc.providers.echo import EchoProvider
from llmproxy_grpc.providers.gemini import GeminiProvider
from llmproxy_grpc.providers.grpc_upstream import GrpcProvider
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.local import LocalProvider
from llmproxy_grpc.providers.mistral import MistralProvider
from llmproxy_grpc.providers.ollama import OllamaProvider
from llmproxy_grpc.providers.openai import OpenAiProvider
from llmproxy_grpc.providers.provider import Provider

ENTRY_POINTS = "llmproxy_grpc.providers"
"""The group under which an outside package names its kinds: each entry is a class that has `from_config`."""

Build = Callable[[ProviderConfig, HttpClient], Provider]
"""Makes a provider of its configuration; raises ValueError if it cannot."""

KINDS: Mapping[str, Build] = {
    "anthropic": AnthropicProvider.from_config,
    "azure": AzureProvider.from_config,
    "bedrock": BedrockProvider.from_config,
    "cohere": CohereProvider.from_config,
    "echo": EchoProvider.from_config,
    "gemini": GeminiProvider.from_config,
    "grpc": GrpcProvider.from_config,
    "local": LocalProvider.from_config,
    "mistral": MistralProvider.from_config,
    "ollama": OllamaProvider.from_config,
    "openai": OpenAiProvider.from_config,
}


def build(config: ProviderConfig, http: HttpClient) -> Provider:
    """Builds a configured provider, inside a running event loop.

    Raises:
        ValueError: The kind or the preset is unknown, the kind's package cannot be loaded, or something that the kind
            needs is missing.
    """
    return _builder(config)(config, http)


def known_kinds() -> frozenset[str]:
    """The kinds that can be configured."""
    return frozenset({*KINDS, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})


def _builder(config: ProviderConfig) -> Build:
    if config.kind in KINDS:
        return KINDS[config.kind]
    outside = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if config.kind not in outside:
        known = ", ".join(sorted(known_kinds()))
        raise ValueError(f"provider {config.name!r}: kind {config.kind!r} is unknown; there are {known}")
    return _load(outside[config.kind])


def _load(entry: EntryPoint) -> Build:
    try:
        builder: Build = entry.load().from_config
    except (ImportError, AttributeError) as error:
        raise ValueError(f"kind {entry.name!r} cannot be loaded from {entry.value!r}: {error}") from error
    return builder
