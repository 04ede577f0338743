"""Tokens by google-auth, from a service account's file and a token endpoint of ours."""

import asyncio
import json
import time

import pytest

from llmproxy_grpc.errors import CredentialsRejected, UpstreamServerError, UpstreamUnreachable
from llmproxy_grpc.providers.expiring import EARLY, Expiring
from llmproxy_grpc.providers.google_token import fetch_token, google_token
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream
from tests.fakes.service_account import use_service_account


@pytest.fixture
async def endpoint(tmp_path, monkeypatch):
    """A token endpoint, which the service account in the environment asks."""
    async with FaultyUpstream() as upstream:
        use_service_account(monkeypatch, tmp_path, upstream.url)
        yield upstream


def token(seconds: int) -> Answer:
    return Answer.json(json.dumps({"access_token": "test-token", "expires_in": seconds}).encode())


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
async def test_a_token_ends_when_its_endpoint_says_whatever_the_time_zone(endpoint, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        endpoint.script(token(3600))
        given, ends = await asyncio.to_thread(fetch_token)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert given == "test-token"
    assert ends - time.time() == pytest.approx(3600, abs=60)
    assert endpoint.requests[0].path == "/token"
    assert b"assertion=" in endpoint.requests[0].body


async def test_tokens_are_kept_until_shortly_before_their_end(endpoint):
    endpoint.script(token(3600), token(3600))
    tokens = google_token()
    assert [await tokens.get() for _ in range(3)] == ["test-token"] * 3
    assert len(endpoint.requests) == 1


async def test_an_account_that_is_refused_is_a_rejected_credential_and_nothing_else(endpoint):
    endpoint.default = Answer.json(b'{"error":"invalid_grant","error_description":"secret"}', status=400)
    with pytest.raises(CredentialsRejected) as caught:
        await google_token().get()
    assert "secret" not in str(caught.value)


async def test_a_token_endpoint_that_is_in_trouble_refuses_nobody(endpoint):
    endpoint.default = Answer.json(b"{}", status=503)
    with pytest.raises(UpstreamServerError):
        await google_token().get()


async def test_a_machine_that_no_longer_tells_who_it_is_refuses_nobody(endpoint, monkeypatch):
    endpoint.default = token(EARLY - 1)  # which is due at once, and has ended soon
    tokens = Expiring(fetch_token, now=lambda: time.time() + ahead)
    ahead = 0.0
    assert await tokens.get() == "test-token"
    monkeypatch.setattr("google.auth._default._get_explicit_environ_credentials", lambda **_: (None, None))
    monkeypatch.setattr("google.auth._default._get_gcloud_sdk_credentials", lambda **_: (None, None))
    monkeypatch.setattr("google.auth.compute_engine._metadata.is_on_gce", lambda **_: False)
    with pytest.raises(CredentialsRejected):
        await google_token().get()
    ahead = EARLY
    with pytest.raises(UpstreamUnreachable):
        await tokens.get()


async def test_a_token_endpoint_that_hangs_up_refuses_nobody(endpoint):
    endpoint.default = Answer(raw=[Do.RESET])
    with pytest.raises(UpstreamUnreachable):
        await google_token().get()
