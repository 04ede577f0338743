"""The kind `anthropic`: Claude by Anthropic's Messages API, and every server that speaks it."""

from collections.abc import Mapping
from typing import Final, Self

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.anthropic_messages.wire import AnthropicMessages
from llmproxy_grpc.providers.credentials import header_sets
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.http_provider import HttpProvider
from llmproxy_grpc.providers.upstream import Upstream

BASE_URL: Final = "https://api.anthropic.com"
API_VERSION: Final = "2023-06-01"
"""What every server of this API knows; newer ones change nothing that is read or written here."""


class AnthropicProvider(HttpProvider):
    """One upstream that speaks the Messages API."""

    kind = "anthropic"

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
