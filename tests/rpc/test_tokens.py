"""A cloud whose tokens are not to be had: a failure of its provider, after which another target answers."""

import pytest

from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream
from tests.fakes.requests import chat_request, failure
from tests.fakes.scripted_provider import ScriptedProvider
from tests.fakes.service_account import use_service_account

VERTEX = {"name": "vertex", "kind": "gemini", "project": "p", "location": "europe-west4"}
TARGETS = [{"provider": "vertex", "model": "gemini-3-flash"}, {"provider": "scripted", "model": "m"}]


@pytest.fixture
async def endpoint(tmp_path, monkeypatch):
    """Where the service account in the environment gets its tokens."""
    async with FaultyUpstream() as upstream:
        use_service_account(monkeypatch, tmp_path, upstream.url)
        yield upstream


@pytest.mark.parametrize(
    ("answer", "reason", "retryable"),
    [
        (Answer(raw=[Do.RESET]), "UPSTREAM_UNREACHABLE", True),
        (Answer.json(b'{"error":"invalid_grant"}', status=400), "UPSTREAM_CREDENTIALS_REJECTED", False),
    ],
    ids=["cut off", "refused"],
)
async def test_a_target_without_a_token_gives_way_and_says_why(serve, endpoint, answer, reason, retryable):
    endpoint.default = answer
    providers = [VERTEX, {"name": "scripted", "kind": "scripted"}]
    both = {"providers": providers, "models": [{"id": "assistant", "targets": TARGETS}], "retries": {"max_attempts": 1}}
    one = {**both, "models": [{"id": "assistant", "targets": TARGETS[:1]}]}
    async with serve(one, providers={"scripted": ScriptedProvider()}) as server:
        error = await failure(server.stub.Chat(chat_request()))
    assert (error.reason, error.detail.retryable) == (reason, retryable)
    both["retries"] = {"max_attempts": 3}
    async with serve(both, providers={"scripted": ScriptedProvider()}) as server:
        response = await server.stub.Chat(chat_request())
    assert response.route.provider == "scripted"
    assert [attempt.provider for attempt in response.route.failed_attempts] == ["vertex"]
