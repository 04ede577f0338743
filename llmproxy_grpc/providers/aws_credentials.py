"""Where the keys to AWS come from: the configuration, the environment, or the chain of AWS's own tools."""

import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from typing import Any, Final

from pydantic import SecretStr

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.expiring import EARLY, Expiring
from llmproxy_grpc.providers.sigv4 import AwsCredentials

Keys = Callable[[], Awaitable[AwsCredentials]]

_LOOK_AGAIN: Final = 60.0
"""Seconds after which botocore is asked again: it renews what expires by rules of its own."""


def aws_credentials(config: ProviderConfig, environ: Mapping[str, str]) -> Keys:
    """The keys of a provider: configured ones, else those of the environment unless a profile is named, else the chain.

    Raises:
        ValueError: Half a pair is configured, or the chain is needed and botocore is not installed.
    """
    configured = (config.access_key_id, config.secret_access_key)
    if any(configured):
        if not all(configured):
            raise ValueError(f"provider {config.name!r} needs access_key_id and secret_access_key, both or neither")
        return _constant(*(_plain(secret) for secret in (*configured, config.session_token)))
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    found = [environ.get(name, "").strip() for name in names]
    if config.profile is None and found[0] and found[1]:
        return _constant(*found)
    if find_spec("botocore") is None:
        raise ValueError(f"provider {config.name!r} has no keys; profiles and roles need the extra `bedrock`")
    return Expiring(_Chain(config.profile).fetch).get


class _Chain:
    """The credentials that AWS's own tools find: profiles, single sign-on, roles, containers, instances."""

    def __init__(self, profile: str | None) -> None:
        self._profile = profile
        self._found: Any = None

    def fetch(self) -> tuple[AwsCredentials, float]:
        """Gives the keys of the moment, and when to look again; blocks."""
        if self._found is None:
            # Its imports take a while, and many have no use for them.
            from botocore.session import Session  # noqa: PLC0415

            self._found = Session(profile=self._profile).get_credentials()
        keys = self._found.get_frozen_credentials()
        credentials = AwsCredentials(keys.access_key, keys.secret_key, keys.token or "")
        return credentials, time.time() + EARLY + _LOOK_AGAIN


def _constant(access_key_id: str, secret_access_key: str, session_token: str) -> Keys:
    credentials = AwsCredentials(access_key_id, secret_access_key, session_token)

    async def get() -> AwsCredentials:
        return credentials

    return get


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""
