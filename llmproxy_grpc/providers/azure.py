"""The kind `azure`: OpenAI's models in a resource of Azure, by their deployments."""

from collections.abc import Callable
from typing import Final, Self
from urllib.parse import quote

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.azure_token import azure_token
from llmproxy_grpc.providers.chat_completions.quirks import OPENAI
from llmproxy_grpc.providers.chat_completions.wire import ChatCompletions, Dialect
from llmproxy_grpc.providers.credentials import has_credential, header_sets
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.http_provider import HttpProvider
from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.providers.upstream import Upstream

KEY_HEADER: Final = "api-key"
NEWEST: Final = "v1"
"""The API without versions, where the deployment is the model of the request."""
NAMES: Final = ("openai", "azure")
"""Its options are OpenAI's; those for Azure win."""


class AzureProvider(HttpProvider):
    """One resource of Azure; an upstream model is the name of a deployment."""

    kind = "azure"

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close.

        Raises:
            ValueError: The resource's address is missing; or there is no key, and azure-identity is not installed.
        """
        if config.base_url is None:
            raise ValueError(f"provider {config.name!r} needs a base_url, such as https://RESOURCE.openai.azure.com")
        sets = header_sets(config, KEY_HEADER, own_address=False)
        token = None if has_credential(config, KEY_HEADER) else azure_token()
        upstream = Upstream(http, config.base_url, headers=sets, token=token)
        return cls(config.name, AzureCompletions(upstream, _dialect(config), deployment=config.deployment))


class AzureCompletions(ChatCompletions):
    """Chat Completions of one resource.

    Args:
        upstream: The resource.
        dialect: Where its deployments are.
        deployment: The only one that is used, if there is but one.
    """

    def __init__(self, upstream: Upstream, dialect: Dialect, *, deployment: str | None = None) -> None:
        super().__init__(upstream, dialect)
        self._deployment = deployment

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Lists the one deployment, if it is configured: Azure lists what might be deployed, not what is."""
        return () if self._deployment is None else (UpstreamModel(self._deployment),)


def _dialect(config: ProviderConfig) -> Dialect:
    version = config.api_version or NEWEST
    if version == NEWEST:
        return Dialect(
            quirks=OPENAI,
            names=NAMES,
            chat_path=lambda _: "/openai/v1/chat/completions",
            embed_path=lambda _: "/openai/v1/embeddings",
            models_path="/openai/v1/models",
            probe_path="/openai/v1/models",
        )
    query = f"?api-version={quote(version, safe='')}"
    return Dialect(
        quirks=OPENAI,
        names=NAMES,
        chat_path=_deployed("chat/completions", query, config.deployment),
        embed_path=_deployed("embeddings", query, config.deployment),
        models_path=f"/openai/models{query}",
        probe_path=f"/openai/models{query}",
    )


def _deployed(method: str, query: str, deployment: str | None) -> Callable[[str], str]:
    # Callers choose the model: nothing in its name may lead out of the folder.
    return lambda model: f"/openai/deployments/{quote(deployment or model, safe='')}/{method}{query}"
