"""The kind `gemini`: Google's models by generateContent, at AI Studio or at Vertex AI."""

from typing import Final, Self

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.credentials import has_credential, header_sets
from llmproxy_grpc.providers.generate_content.wire import AI_STUDIO, GenerateContent, vertex
from llmproxy_grpc.providers.google_token import google_token
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.http_provider import HttpProvider
from llmproxy_grpc.providers.upstream import Upstream

BASE_URL: Final = "https://generativelanguage.googleapis.com"
KEY_HEADER: Final = "x-goog-api-key"
"""Never the query, which ends in logs."""
GLOBAL: Final = "global"


class GeminiProvider(HttpProvider):
    """One upstream that speaks generateContent."""

    kind = "gemini"

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
        token = None if has_credential(config, KEY_HEADER) else google_token()
        upstream = Upstream(http, config.base_url or _vertex_address(location), headers=sets, token=token)
        return cls(config.name, GenerateContent(upstream, vertex(config.project, location)))


def _vertex_address(location: str) -> str:
    host = "aiplatform.googleapis.com" if location == GLOBAL else f"{location}-aiplatform.googleapis.com"
    return f"https://{host}"
