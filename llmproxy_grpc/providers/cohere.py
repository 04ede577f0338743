"""The kind `cohere`: Cohere's models by its API of version 2."""

from typing import Final, Self

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.cohere_chat.wire import CohereChat
from llmproxy_grpc.providers.credentials import header_sets
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.http_provider import HttpProvider
from llmproxy_grpc.providers.upstream import Upstream

BASE_URL: Final = "https://api.cohere.com"


class CohereProvider(HttpProvider):
    """One upstream that speaks Cohere's API."""

    kind = "cohere"

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close.

        Raises:
            ValueError: Cohere's own address has no key.
        """
        sets = header_sets(config, "authorization", scheme="Bearer", own_address=config.base_url is None)
        return cls(config.name, CohereChat(Upstream(http, config.base_url or BASE_URL, headers=sets)))
