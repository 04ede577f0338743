"""The kind `azure`: OpenAI's models in a resource of Azure, by their deployments."""

from typing import Final, Self
from urllib.parse import quote

from msgspec.structs import replace

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.azure_token import azure_token
from llmproxy_grpc.providers.chat_completions.quirk_flags import configured
from llmproxy_grpc.providers.chat_completions.quirks import OPENAI, OPENAI_RESPONSES
from llmproxy_grpc.providers.chat_completions.wire import ChatCompletions, Dialect
from llmproxy_grpc.providers.credentials import has_credential, header_sets
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.http_provider import HttpProvider
from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.providers.responses_api.wire import ResponsesApi
from llmproxy_grpc.providers.upstream import Upstream, segment

KEY_HEADER: Final = "api-key"
NEWEST: Final = "v1"
"""The API without versions, where the deployment is the model of the request."""
_UNDATED: Final = frozenset({NEWEST, "preview"})
"""Its own versions: what holds, and what may come."""
NAMES: Final = ("openai", "azure")
"""Its options are OpenAI's; those for Azure win."""
_RESPONSES: Final = replace(OPENAI_RESPONSES, count_path="")
_HOMES: Final = ("/openai/v1", "/openai")
"""What the addresses of a resource end with in the portal and in OpenAI's own SDK."""


class AzureProvider(HttpProvider):
    """One resource of Azure; an upstream model is the name of a deployment."""

    kind = "azure"

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close.

        Raises:
            ValueError: The resource's address is missing; a flag of the quirks is unknown; or there is no key, and
                azure-identity is not installed.
        """
        if config.base_url is None:
            raise ValueError(f"provider {config.name!r} needs a base_url, such as https://RESOURCE.openai.azure.com")
        sets = header_sets(config, KEY_HEADER, own_address=False)
        token = None if has_credential(config, KEY_HEADER) else azure_token()
        upstream = Upstream(http, _resource(config.base_url), headers=sets, token=token)
        wire = AzureCompletions(upstream, _dialect(config))
        if config.api == "chat":
            return cls(config.name, wire)
        quirks = configured(_RESPONSES, config)
        path = f"{_home(config)}/responses{_query(config)}"
        return cls(config.name, ResponsesApi(quirks, NAMES, wire, path=path, deployment=config.deployment or ""))


class AzureCompletions(ChatCompletions):
    """Chat Completions of one resource."""

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Lists the one deployment, if it is configured: Azure lists what might be deployed, not what is."""
        deployment = self._dialect.deployment
        return (UpstreamModel(deployment),) if deployment else ()


def _dialect(config: ProviderConfig) -> Dialect:
    home, query = _home(config), _query(config)

    def deployed(model: str) -> str:
        # Without versions the body names the deployment.
        return home if _is_undated(config) else f"{home}/deployments/{segment(model)}"

    return Dialect(
        quirks=configured(OPENAI, config),
        names=NAMES,
        chat_path=lambda model: f"{deployed(model)}/chat/completions{query}",
        embed_path=lambda model: f"{deployed(model)}/embeddings{query}",
        models_path=f"{home}/models{query}",
        probe_path=f"{home}/models{query}",
        deployment=config.deployment or "",
    )


def _resource(base_url: str) -> str:
    return next((base_url.removesuffix(home) for home in _HOMES if base_url.endswith(home)), base_url)


def _home(config: ProviderConfig) -> str:
    return "/openai/v1" if _is_undated(config) else "/openai"


def _is_undated(config: ProviderConfig) -> bool:
    return (config.api_version or NEWEST) in _UNDATED


def _query(config: ProviderConfig) -> str:
    version = config.api_version or NEWEST
    return "" if version == NEWEST else f"?api-version={quote(version, safe='')}"
