"""Configured keys as the headers that carry them."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import SecretStr

from llmproxy_grpc.config.schema import ProviderConfig

_SHORTEST_SECRET: Final = 8
"""Shorter values of headers are flags and names, and words of any message."""


def keys_of(config: ProviderConfig) -> Sequence[SecretStr]:
    """The keys of a provider, which take turns; none if it has none."""
    return config.api_keys or ((config.api_key,) if config.api_key is not None else ())


def has_credential(config: ProviderConfig, name: str) -> bool:
    """Whether a key is configured, or the header that carries one, or one for a token."""
    return bool(keys_of(config)) or not {header.lower() for header in config.headers}.isdisjoint(
        {name, "authorization"}
    )


def header_sets(
    config: ProviderConfig,
    name: str,
    *,
    scheme: str = "",
    also: Mapping[str, str] | None = None,
    own_address: bool,
) -> list[Mapping[str, str]]:
    """One set of headers for each key; a configured header wins over ours.

    Args:
        config: The provider.
        name: The header that carries a key, in lower case.
        scheme: What stands before the key, such as `Bearer`.
        also: Further headers of ours.
        own_address: Whether it is the vendor's own address, which wants a key.

    Raises:
        ValueError: The vendor's own address has neither a key nor a header that could be one.
    """
    headers = {name.lower(): value.get_secret_value() for name, value in config.headers.items()}
    secrets = keys_of(config)
    if not secrets:
        if own_address and not headers.keys() & {name, "authorization"}:
            raise ValueError(f"provider {config.name!r} needs an api_key")
        return [{**(also or {}), **headers}]
    prefix = f"{scheme} " if scheme else ""
    return [{**(also or {}), name: f"{prefix}{secret.get_secret_value()}", **headers} for secret in secrets]


def secrets_in(headers: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """What must not come back to callers: the headers' values, without a scheme before them; the longest first."""
    words = {value.rpartition(" ")[2] for fields in headers for value in fields.values()}
    return tuple(sorted((word for word in words if len(word) >= _SHORTEST_SECRET), key=len, reverse=True))
