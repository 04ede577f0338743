"""The kind `bedrock`: models of many makers at Amazon Bedrock, by Converse."""

import os
from collections.abc import Mapping
from typing import Final, Self

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.aws_addresses import control_url, region_of, runtime_url
from llmproxy_grpc.providers.aws_credentials import aws_credentials, bearer_token
from llmproxy_grpc.providers.converse.wire import Converse
from llmproxy_grpc.providers.credentials import has_credential, header_sets
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.http_provider import HttpProvider
from llmproxy_grpc.providers.sigv4 import Signer
from llmproxy_grpc.providers.upstream import Upstream

SERVICE: Final = "bedrock"
_HEADER: Final = "authorization"


class BedrockProvider(HttpProvider):
    """Bedrock in one region."""

    kind = "bedrock"

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient, *, environ: Mapping[str, str] = os.environ) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close.

        Raises:
            ValueError: There is no region; keys would go over an open connection; there are none, and botocore is not
                installed; or there are two kinds of them.
        """
        config = config.model_copy(update={"api_key": bearer_token(config, environ)})
        region = region_of(config, environ)
        runtime = runtime_url(config, region)
        sets = header_sets(config, _HEADER, scheme="Bearer", own_address=False)
        keys = None if has_credential(config, _HEADER) else aws_credentials(config, environ)
        upstream = Upstream(http, runtime, headers=sets)
        control = Upstream(http, control_url(runtime), headers=sets)
        return cls(config.name, Converse(upstream, control, signer=Signer(region, SERVICE), keys=keys))
