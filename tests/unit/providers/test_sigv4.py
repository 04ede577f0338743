"""Our signatures, byte for byte those of AWS's own library."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.providers.sigv4 import AwsCredentials, Signer

NOW = datetime(2026, 11, 25, 20, 58, 51, tzinfo=UTC).timestamp()
A_DAY = 86400.0
STAMP = "20261125T205851Z"
HOST = "bedrock-runtime.eu-central-1.amazonaws.com"
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
models = names.filter(lambda name: name.strip(".")) | st.sampled_from(
    [
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude",
    ]
)


def theirs(method: str, url: str, body: bytes, token: str, headers: dict[str, str]) -> str:
    """The header that botocore makes, at our time."""
    request = AWSRequest(method=method, url=url, data=body, headers=headers)
    request.context["timestamp"] = STAMP
    request.headers["X-Amz-Date"] = STAMP
    if token:
        request.headers["X-Amz-Security-Token"] = token
    auth = SigV4Auth(Credentials("test-key-id", "test-secret", token or None), "bedrock", "eu-central-1")
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    signed = auth.signed_headers(auth.headers_to_sign(request))
    return f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={signed}, Signature={signature}"


def ours(method: str, url: str, body: bytes, token: str, headers: dict[str, str]) -> dict[str, str]:
    keys = AwsCredentials("test-key-id", "test-secret", token)
    signer = Signer("eu-central-1", "bedrock")
    first = signer.sign(method, url, body, keys=keys, now=NOW, headers=headers)
    assert signer.sign(method, url, body, keys=keys, now=NOW, headers=headers) == first
    return first


@given(models, st.binary(max_size=50), st.sampled_from(["", "test-session-token"]))
def test_a_post_is_signed_to_the_byte_as_botocore_signs_it(model, body, token):
    url = f"https://{HOST}/model/{quote(model, safe='')}/converse"
    headers = {"content-type": "application/json"}
    signed = ours("POST", url, body, token, headers)
    assert signed["authorization"] == theirs("POST", url, body, token, headers)
    assert signed["x-amz-date"] == STAMP
    assert signed.get("x-amz-security-token", "") == token


@pytest.mark.parametrize(
    "path",
    ["/foundation-models", "/inference-profiles?maxResults=1000&nextToken=a%2Fb%3D", "/inference-profiles?b=2&a=1"],
)
def test_a_get_is_signed_with_its_query(path):
    url = f"https://{HOST}{path}"
    assert ours("GET", url, b"", "", {})["authorization"] == theirs("GET", url, b"", "", {})


@pytest.mark.parametrize(
    "origin",
    [
        "https://EXAMPLE.test:443",
        "https://example.test:8443",
        "http://127.0.0.1:80",
        "http://[::1]:8080",
        "http://a:443",
    ],
)
def test_the_host_that_is_signed_is_the_one_that_is_sent(origin):
    url = f"{origin}/x"
    assert ours("GET", url, b"", "", {})["authorization"] == theirs("GET", url, b"", "", {})


def test_another_day_or_secret_has_another_key():
    signer = Signer("eu-central-1", "bedrock")
    url = f"https://{HOST}/"
    made = {
        signer.sign("GET", url, b"", keys=AwsCredentials("id", secret), now=now, headers={})["authorization"]
        for secret in ("one", "two")
        for now in (NOW, NOW + A_DAY)
    }
    assert len(made) == 4
