from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.echo import EchoProvider
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Provider
from tests.providers.specimen import Specimen


@asynccontextmanager
async def _open() -> AsyncIterator[Provider]:
    http = HttpClient(connect_timeout=1)
    provider = EchoProvider.from_config(ProviderConfig(name="specimen", kind="echo"), http)
    yield provider
    await provider.aclose()
    await http.aclose()


KIND = Specimen("echo", "echo", "echo", _open)
