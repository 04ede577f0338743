import pytest

from llmproxy_grpc.http.app import application
from llmproxy_grpc.http.listener import HttpListener
from tests.fakes.http import get


@pytest.fixture
async def served():
    """An address, and the readiness behind it."""
    ready = [True]
    listener = HttpListener(application(render_metrics=lambda: b"up 1\n", ready=lambda: ready[0]))
    yield await listener.start("127.0.0.1:0"), ready
    await listener.aclose()


async def test_metrics_are_given_as_they_are_rendered(served):
    assert await get(served[0], "/metrics") == (200, "up 1\n")


async def test_who_is_not_ready_still_lives(served):
    address, ready = served
    assert await get(address, "/readyz") == (200, "ready\n")
    ready[0] = False
    assert await get(address, "/readyz") == (503, "not ready\n")
    assert await get(address, "/livez") == (200, "ok\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/admin", "/v1/chat/completions"])
async def test_nothing_else_is_there(served, path):
    assert (await get(served[0], path))[0] == 404
