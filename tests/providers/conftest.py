from collections.abc import AsyncIterator

import pytest

from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Provider
from tests.fakes.faulty_upstream import FaultyUpstream
from tests.providers.http_kind import HttpKind
from tests.providers.kinds import HTTP_KINDS


@pytest.fixture
async def upstream() -> AsyncIterator[FaultyUpstream]:
    async with FaultyUpstream() as faulty:
        yield faulty


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(connect_timeout=1)
    yield client
    await client.aclose()


@pytest.fixture(params=HTTP_KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> HttpKind:
    """Every kind that speaks HTTP, unless a test chooses among them."""
    return request.param


@pytest.fixture
async def provider(kind: HttpKind, upstream: FaultyUpstream, http: HttpClient) -> Provider:
    return await kind.provider(upstream, http)
