"""A cloud whose tokens are not to be had: a failure of its provider, after which another target answers."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream
from tests.fakes.requests import chat_request, failure
from tests.fakes.scripted_provider import ScriptedProvider

VERTEX = {"name": "vertex", "kind": "gemini", "project": "p", "location": "europe-west4"}
TARGETS = [{"provider": "vertex", "model": "gemini-3-flash"}, {"provider": "scripted", "model": "m"}]


@pytest.fixture
async def endpoint(tmp_path, monkeypatch):
    """Where the service account in the environment gets its tokens."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    async with FaultyUpstream() as upstream:
        account = {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "test-key",
            "private_key": pem.decode(),
            "client_email": "proxy@example.test",
            "token_uri": f"{upstream.url}/token",
        }
        path = tmp_path / "account.json"
        path.write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
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
