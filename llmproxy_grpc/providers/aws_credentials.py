"""Where the keys to AWS come from: the configuration, the environment, or the chain of AWS's own tools."""

import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from typing import Any, Final

from pydantic import SecretStr

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.credentials import has_credential
from llmproxy_grpc.providers.expiring import EARLY, Expiring
from llmproxy_grpc.providers.sigv4 import AwsCredentials
from llmproxy_grpc.providers.token_trouble import Absent

Keys = Callable[[], Awaitable[AwsCredentials]]

_OF_THE_MACHINE: Final = "iam-role"
"""What botocore calls keys of the metadata service of EC2."""
_LOOK_AGAIN: Final = 60.0
"""Seconds after which botocore is asked again: it renews what expires by rules of its own."""


def bearer_token(config: ProviderConfig, environ: Mapping[str, str]) -> SecretStr | None:
    """The token that takes the place of a signature: the configured one, else that of the environment.

    The environment's counts, before its keys, where nothing is configured that identifies the proxy.

    Raises:
        ValueError: A token and keys are configured.
    """
    signs = any((config.access_key_id, config.secret_access_key, config.session_token, config.profile))
    if has_credential(config, "authorization"):
        if signs:
            raise ValueError(f"provider {config.name!r} has a bearer token and keys or a profile; keep one of them")
        return config.api_key
    told = environ.get("AWS_BEARER_TOKEN_BEDROCK", "").strip()
    return SecretStr(told) if told and not signs else None


def aws_credentials(
    config: ProviderConfig, environ: Mapping[str, str], *, now: Callable[[], float] = time.time
) -> Keys:
    """The keys of a provider: configured ones, else those of the environment unless a profile is named, else the chain.

    Args:
        config: The provider.
        environ: The environment's variables.
        now: The wall clock, in seconds since 1970.

    Raises:
        ValueError: Half a pair is configured, or the chain is needed and botocore is not installed.
    """
    configured = (config.access_key_id, config.secret_access_key)
    if any(configured) or config.session_token is not None:
        if not all(configured):
            raise ValueError(f"provider {config.name!r} needs access_key_id and secret_access_key, both or neither")
        return _constant(*(_plain(secret) for secret in (*configured, config.session_token)))
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    found = [environ.get(name, "").strip() for name in names]
    if config.profile is None and found[0] and found[1]:
        return _constant(*found)
    if find_spec("botocore") is None:
        raise ValueError(f"provider {config.name!r} has no keys; profiles and roles need the extra `bedrock`")
    return Expiring(_Chain(config.profile, now).fetch, now=now).get


class _Chain:
    """The credentials that AWS's own tools find: profiles, single sign-on, roles, containers, instances."""

    def __init__(self, profile: str | None, now: Callable[[], float]) -> None:
        self._profile = profile
        self._now = now
        self._found: Any = None

    def fetch(self) -> tuple[AwsCredentials, float]:
        """Gives the keys of the moment, and when to look again; blocks, and raises whatever botocore does."""
        if self._found is None:
            # Its imports take a while, and many have no use for them.
            from botocore.session import Session  # noqa: PLC0415

            self._found = Session(profile=self._profile).get_credentials()
        if self._found is None:
            raise Absent("AWS's tools find no keys")
        keys = self._keys()
        credentials = AwsCredentials(keys.access_key, keys.secret_key, keys.token or "")
        return credentials, self._now() + EARLY + _LOOK_AGAIN

    def _keys(self) -> Any:
        try:
            return self._found.get_frozen_credentials()
        except Exception as error:
            if self._found.method != _OF_THE_MACHINE:
                raise
            # Whatever was wrong with the machine's metadata service, botocore says that it told no keys.
            raise Absent("the machine's metadata service tells no keys") from error


def _constant(access_key_id: str, secret_access_key: str, session_token: str) -> Keys:
    credentials = AwsCredentials(access_key_id, secret_access_key, session_token)

    async def get() -> AwsCredentials:
        return credentials

    return get


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""
