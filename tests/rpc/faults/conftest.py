"""What tests of faulty upstreams share."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.faulty_upstream import FaultyUpstream


@pytest.fixture(params=["Chat", "Stream"])
def method(request) -> str:
    return request.param


@pytest.fixture
async def upstream() -> AsyncIterator[FaultyUpstream]:
    async with FaultyUpstream() as upstream:
        yield upstream
