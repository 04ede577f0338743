"""Finds providers without a configuration: keys in the environment, Ollama on this host, the embedded model."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct
from pydantic import SecretStr, ValidationError

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.presets import PRESETS, Preset

OLLAMA = "ollama"
OLLAMA_VERSION_URL = "http://127.0.0.1:11434/api/version"
_OLLAMA_SECONDS = 0.5
_MALFORMED = "the key or its base URL is malformed"


class KeyedKind(Struct, frozen=True):
    """A kind that a key in the environment configures, by the variables that the vendor's own SDK reads."""

    kind: str
    key_variables: tuple[str, ...]
    """The first that is set wins."""
    address_variable: str = ""
    """Points the vendor's SDK elsewhere, and so the key; empty if there is none."""
    needs_address: bool = False
    """Whether there is no address without that variable."""
    region_variables: tuple[str, ...] = ()
    """One of them has to name a region."""
    version_variable: str = ""
    """Names the version of the API; empty if there is none."""


KEYED_KINDS = (
    KeyedKind("anthropic", ("ANTHROPIC_API_KEY",), "ANTHROPIC_BASE_URL"),
    KeyedKind("bedrock", ("AWS_BEARER_TOKEN_BEDROCK",), region_variables=("AWS_REGION", "AWS_DEFAULT_REGION")),
    KeyedKind("cohere", ("COHERE_API_KEY", "CO_API_KEY"), "CO_API_URL"),
    KeyedKind("mistral", ("MISTRAL_API_KEY",)),
    KeyedKind(
        "azure",
        ("AZURE_OPENAI_API_KEY",),
        "AZURE_OPENAI_ENDPOINT",
        needs_address=True,
        version_variable="OPENAI_API_VERSION",
    ),
    KeyedKind("gemini", ("GEMINI_API_KEY", "GOOGLE_API_KEY"), "GOOGLE_GEMINI_BASE_URL"),
)


class Skipped(Struct, frozen=True):
    """A variable that names a provider which cannot be used, and why."""

    variable: str
    reason: str


class Discovery(Struct, frozen=True):
    """What was found, and what was found in vain."""

    providers: tuple[ProviderConfig, ...] = ()
    skipped: tuple[Skipped, ...] = ()


async def discover(
    environ: Mapping[str, str],
    *,
    ollama_reachable: Callable[[], Awaitable[bool]],
    local_available: bool,
) -> Discovery:
    """Finds what can be used at once: the embedded model first, so that a default is free of charge.

    Args:
        environ: The environment's variables.
        ollama_reachable: Asks whether Ollama answers on this host.
        local_available: Whether the embedded model can run; the kind `echo` stands in for it.
    """
    kind = "local" if local_available else "echo"
    found: list[ProviderConfig] = [ProviderConfig(name=kind, kind=kind)]
    skipped: list[Skipped] = []
    for keyed in KEYED_KINDS:
        variable = next((name for name in keyed.key_variables if environ.get(name, "").strip()), "")
        if not variable:
            continue
        if keyed.region_variables and not any(environ.get(name, "").strip() for name in keyed.region_variables):
            skipped.append(Skipped(variable, f"{keyed.region_variables[0]} is not set"))
            continue
        if keyed.needs_address and not environ.get(keyed.address_variable, "").strip():
            skipped.append(Skipped(variable, f"{keyed.address_variable} is not set"))
            continue
        try:
            found.append(_keyed(keyed, environ[variable].strip(), environ))
        except ValidationError:
            skipped.append(Skipped(variable, _MALFORMED))
    for preset in PRESETS.values():
        key = environ.get(preset.key_variable, "").strip() if preset.key_variable else ""
        if not key:
            continue
        try:
            found.append(_hosted(preset, key, environ))
        except ValidationError:
            # The error's own text may show the value.
            skipped.append(Skipped(preset.key_variable, _MALFORMED))
    if await ollama_reachable():
        found.append(ProviderConfig(name=OLLAMA, kind=OLLAMA))
    return Discovery(tuple(found), tuple(skipped))


async def ollama_answers(http: HttpClient, url: str = OLLAMA_VERSION_URL) -> bool:
    """Whether Ollama answers, on this host unless `url` says otherwise, within half a second."""
    try:
        async with (
            asyncio.timeout(_OLLAMA_SECONDS),
            http.request("GET", url, headers={}) as response,
        ):
            return response.status == 200
    except (ProxyError, TimeoutError):
        return False


def _keyed(keyed: KeyedKind, key: str, environ: Mapping[str, str]) -> ProviderConfig:
    base_url = environ.get(keyed.address_variable, "").strip() if keyed.address_variable else ""
    version = environ.get(keyed.version_variable, "").strip() if keyed.version_variable else ""
    return ProviderConfig(
        name=keyed.kind,
        kind=keyed.kind,
        base_url=base_url or None,
        api_key=SecretStr(key),
        api_version=version or None,
        region=next((region for name in keyed.region_variables if (region := environ.get(name, "").strip())), None),
    )


def _hosted(preset: Preset, key: str, environ: Mapping[str, str]) -> ProviderConfig:
    # Who points OpenAI's SDK elsewhere has a key for that place, which api.openai.com must not see.
    base_url = environ.get("OPENAI_BASE_URL", "").strip() if preset.name == "openai" else ""
    if base_url:
        return ProviderConfig(name=preset.name, kind=preset.kind, base_url=base_url, api_key=SecretStr(key))
    return ProviderConfig(name=preset.name, kind=preset.kind, preset=preset.name, api_key=SecretStr(key))
