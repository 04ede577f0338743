"""The kind `ollama`: models on a server of one's own, by Ollama's own API."""

from typing import Final, Self

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.credentials import header_sets
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.http_provider import HttpProvider
from llmproxy_grpc.providers.ollama_chat.wire import OllamaChat
from llmproxy_grpc.providers.upstream import Upstream

BASE_URL: Final = "http://127.0.0.1:11434"


class OllamaProvider(HttpProvider):
    """One Ollama server."""

    kind = "ollama"

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close. A key is optional."""
        sets = header_sets(config, "authorization", scheme="Bearer", own_address=False)
        return cls(config.name, OllamaChat(Upstream(http, config.base_url or BASE_URL, headers=sets)))
