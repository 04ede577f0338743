"""The kind `gemini`: Google's models by generateContent, at AI Studio or at Vertex AI."""

import re
from typing import Final, Self

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.credentials import has_credential, header_sets
from llmproxy_grpc.providers.generate_content.place import studio, vertex, vertex_address
from llmproxy_grpc.providers.generate_content.wire import GenerateContent
from llmproxy_grpc.providers.google_token import google_token
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.http_provider import HttpProvider
from llmproxy_grpc.providers.upstream import Upstream

BASE_URL: Final = "https://generativelanguage.googleapis.com"
KEY_HEADER: Final = "x-goog-api-key"
"""Never the query, which ends in logs."""
GLOBAL: Final = "global"
_LOCATION = re.compile(r"[a-z0-9-]{1,64}")


class GeminiProvider(HttpProvider):
    """One upstream that speaks generateContent."""

    kind = "gemini"

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close.

        With a project or a location it is Vertex AI, else AI Studio.

        Raises:
            ValueError: AI Studio's address has no key; or Vertex AI has neither key nor project, a location that is
                none, or no key where google-auth is not installed.
        """
        if config.project is None and config.location is None:
            sets = header_sets(config, KEY_HEADER, own_address=config.base_url is None)
            upstream = Upstream(http, config.base_url or BASE_URL, headers=sets)
            return cls(config.name, GenerateContent(upstream, studio(config.api_version)))
        has_key = has_credential(config, KEY_HEADER)
        if config.project is None and not has_key:
            raise ValueError(f"provider {config.name!r} needs a project, or an api_key of Vertex AI's express mode")
        location = config.location or GLOBAL
        if not _LOCATION.fullmatch(location):
            raise ValueError(f"provider {config.name!r}: location must be one of Google Cloud's, such as {GLOBAL}")
        token = None if has_key else google_token()
        sets = header_sets(config, KEY_HEADER, own_address=False)
        upstream = Upstream(http, config.base_url or vertex_address(location), headers=sets, token=token)
        return cls(config.name, GenerateContent(upstream, vertex(config.project, location, config.api_version)))
