from collections.abc import AsyncIterator

import pytest

from llmproxy_grpc.providers.http import HttpClient
from tests.fakes.faulty_upstream import FaultyUpstream


@pytest.fixture
async def upstream() -> AsyncIterator[FaultyUpstream]:
    async with FaultyUpstream() as upstream:
        yield upstream


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient(connect_timeout=2)
    yield client
    await client.aclose()
