from collections.abc import AsyncIterator

import pytest

from llmproxy_grpc.providers.http import HttpClient
from tests.fakes.faulty_upstream import FaultyUpstream


@pytest.fixture
async def upstream() -> AsyncIterator[FaultyUpstream]:
    async with FaultyUpstream() as faulty:
        yield faulty


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(connect_timeout=1)
    yield client
    await client.aclose()
