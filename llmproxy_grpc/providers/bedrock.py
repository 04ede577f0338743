"""The kind `bedrock`: models of many makers at Amazon Bedrock, by Converse."""

import os
from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import urlsplit

from llmproxy_grpc.config.addresses import is_loopback
from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.aws_credentials import aws_credentials
from llmproxy_grpc.providers.converse.wire import Converse
from llmproxy_grpc.providers.credentials import has_credential, header_sets
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.http_provider import HttpProvider
from llmproxy_grpc.providers.sigv4 import Signer
from llmproxy_grpc.providers.upstream import Upstream

SERVICE: Final = "bedrock"


class BedrockProvider(HttpProvider):
    """Bedrock in one region."""

    kind = "bedrock"

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient, *, environ: Mapping[str, str] = os.environ) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close.

        Raises:
            ValueError: There is no region; keys would go over an open connection; or there are none, and botocore is
                not installed.
        """
        region = config.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        if not region:
            raise ValueError(f"provider {config.name!r} needs a region, here or in AWS_REGION")
        if config.base_url is not None and not _is_private(config.base_url):
            raise ValueError(f"provider {config.name!r}: keys to AWS go over https:// alone")
        sets = header_sets(config, "authorization", scheme="Bearer", own_address=False)
        keys = None if has_credential(config, "authorization") else aws_credentials(config, environ)
        upstream = Upstream(http, config.base_url or f"https://bedrock-runtime.{region}.amazonaws.com", headers=sets)
        control = Upstream(http, config.base_url or f"https://bedrock.{region}.amazonaws.com", headers=sets)
        return cls(config.name, Converse(upstream, control, signer=Signer(region, SERVICE), keys=keys))


def _is_private(base_url: str) -> bool:
    parts = urlsplit(base_url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")
