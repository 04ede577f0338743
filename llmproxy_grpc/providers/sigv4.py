"""Signatures of requests to AWS, version 4, as its guide to signing describes them."""

import hmac
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlsplit

from msgspec import Struct

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class AwsCredentials(Struct, frozen=True):
    """Keys to AWS; temporary ones have a session token."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""


class Signer:
    """Signs requests to one service in one region.

    Args:
        region: The region, such as `eu-central-1`.
        service: The service as signatures name it, such as `bedrock`.
    """

    def __init__(self, region: str, service: str) -> None:
        self._region = region
        self._service = service
        self._key: tuple[tuple[str, str], bytes] | None = None
        """The signing key of one day and secret, which takes four hashes to make."""

    def sign(
        self, method: str, url: str, body: bytes, *, keys: AwsCredentials, now: datetime, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """Gives the headers that a request needs besides those it has.

        Args:
            method: The HTTP method.
            url: The address, percent-encoded as it is sent.
            body: What is sent.
            keys: Whose signature it is.
            now: The time, in UTC.
            headers: Those of the request that are to be signed, by names in lower case; `host` stands by itself.
        """
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        parts = urlsplit(url)
        added = {"x-amz-date": stamp}
        if keys.session_token:
            added["x-amz-security-token"] = keys.session_token
        signed = dict(sorted({**headers, **added, "host": parts.netloc}.items()))
        names = ";".join(signed)
        canonical = "\n".join(
            (
                method,
                # The path is encoded once more than it is sent: signatures of all services but S3 want it so.
                quote(parts.path or "/", safe="/~"),
                _canonical_query(parts.query),
                *(f"{name}:{' '.join(value.split())}" for name, value in signed.items()),
                "",
                names,
                sha256(body).hexdigest(),
            )
        )
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        text = "\n".join((_ALGORITHM, stamp, scope, sha256(canonical.encode()).hexdigest()))
        signature = hmac.new(self._signing_key(keys.secret_access_key, stamp[:8]), text.encode(), sha256).hexdigest()
        credential = f"Credential={keys.access_key_id}/{scope}"
        added["authorization"] = f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
        return added

    def _signing_key(self, secret: str, day: str) -> bytes:
        if self._key is not None and self._key[0] == (secret, day):
            return self._key[1]
        key = f"AWS4{secret}".encode()
        for step in (day, self._region, self._service, "aws4_request"):
            key = hmac.new(key, step.encode(), sha256).digest()
        self._key = ((secret, day), key)
        return key


def _canonical_query(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return "&".join(sorted(f"{name}={value}" for name, _, value in pairs))
