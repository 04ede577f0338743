"""Signatures of requests to AWS, version 4, as its guide to signing describes them."""

import hmac
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from time import gmtime, strftime
from typing import Final
from urllib.parse import quote, urlsplit

from msgspec import Struct

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class AwsCredentials(Struct, frozen=True):
    """Keys to AWS; temporary ones have a session token."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return f"AwsCredentials({self.access_key_id!r}, ***)"


class Signer:
    """Signs requests to one service in one region.

    Args:
        region: The region, such as `eu-central-1`.
        service: The service as signatures name it, such as `bedrock`.
    """

    def __init__(self, region: str, service: str) -> None:
        self._region = region
        self._service = service
        self._key: tuple[tuple[str, str], hmac.HMAC] | None = None
        """What signs by the key of one secret and day, which takes four hashes to make."""
        self._stamp: tuple[int, str] = (-1, "")
        """One second, and how it is written."""

    def sign(
        self, method: str, url: str, body: bytes, *, keys: AwsCredentials, now: float, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """Gives the headers that a request needs besides those it has.

        Args:
            method: The HTTP method.
            url: The address, percent-encoded as it is sent.
            body: What is sent.
            keys: Whose signature it is.
            now: The time, in seconds since 1970.
            headers: Those of the request that are to be signed, by names in lower case; `host` stands by itself.
        """
        stamp = self._written(int(now))
        host, path, query = _target(url)
        added = {"x-amz-date": stamp}
        if keys.session_token:
            added["x-amz-security-token"] = keys.session_token
        signed = sorted({**headers, **added, "host": host}.items())
        names = ";".join([name for name, _ in signed])
        lines = "".join([f"{name}:{' '.join(value.split())}\n" for name, value in signed])
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{sha256(body).hexdigest()}"
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = self._signing(keys.secret_access_key, stamp[:8]).copy()
        signature.update(text.encode())
        credential = f"Credential={keys.access_key_id}/{scope}"
        added["authorization"] = f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature.hexdigest()}"
        return added

    def _written(self, second: int) -> str:
        if self._stamp[0] != second:
            self._stamp = (second, strftime("%Y%m%dT%H%M%SZ", gmtime(second)))
        return self._stamp[1]

    def _signing(self, secret: str, day: str) -> hmac.HMAC:
        if self._key is None or self._key[0] != (secret, day):
            key = f"AWS4{secret}".encode()
            for step in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, step.encode(), "sha256")
            self._key = ((secret, day), hmac.new(key, digestmod="sha256"))
        return self._key[1]


@lru_cache(maxsize=1024)  # callers choose the models that some addresses name
def _target(url: str) -> tuple[str, str, str]:
    """Host, path and query of an address as they are signed."""
    parts = urlsplit(url)
    host = parts.netloc.lower()
    if parts.port == _DEFAULT_PORTS.get(parts.scheme):
        host = host.removesuffix(f":{parts.port}")  # as HTTP leaves it out
    pairs = (pair.partition("=") for pair in parts.query.split("&") if pair)
    query = "&".join(sorted(f"{name}={value}" for name, _, value in pairs))
    # The path is encoded once more than it is sent: signatures of all services but S3 want it so.
    return host, quote(parts.path or "/", safe="/~"), query
