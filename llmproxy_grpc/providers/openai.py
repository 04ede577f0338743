"""The kind `openai`: OpenAI's Chat Completions, and every vendor and server that speaks them."""

from typing import Self
from urllib.parse import urlsplit

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.chat_completions.quirk_flags import configured
from llmproxy_grpc.providers.chat_completions.wire import ChatCompletions, Dialect
from llmproxy_grpc.providers.credentials import header_sets
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.http_provider import HttpProvider
from llmproxy_grpc.providers.presets import PRESETS, Preset
from llmproxy_grpc.providers.responses_api.wire import ResponsesApi
from llmproxy_grpc.providers.upstream import Upstream

_OPENAI_HOST = "api.openai.com"


class OpenAiProvider(HttpProvider):
    """One upstream that speaks Chat Completions or the Responses API."""

    kind = "openai"

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close.

        Without a preset, an address other than OpenAI's own is taken for a compatible server.

        Raises:
            ValueError: The preset or a flag of the quirks is unknown, or address or key is missing.
        """
        preset = preset_of(config)
        base_url = config.base_url or preset.base_url
        if not base_url:
            raise ValueError(f"provider {config.name!r} needs a base_url")
        names = (cls.kind,) if preset.name == cls.kind else (cls.kind, preset.name)
        dialect = Dialect(
            quirks=configured(preset.quirks, config),
            names=names,
            models_path=preset.models_path,
            probe_path=preset.probe_path,
        )
        own_address = bool(preset.key_variable) and config.base_url is None
        sets = header_sets(config, "authorization", scheme="Bearer", own_address=own_address)
        wire = ChatCompletions(Upstream(http, base_url, headers=sets), dialect)
        api = config.api if "api" in config.model_fields_set else preset.api
        if api == "chat":
            return cls(config.name, wire)
        if preset.responses is None:
            raise ValueError(
                f"provider {config.name!r}: preset {preset.name!r} has no Responses API; remove the key api"
            )
        return cls(config.name, ResponsesApi(configured(preset.responses, config), names, wire))


def preset_of(config: ProviderConfig) -> Preset:
    """The row that describes a configured provider.

    Raises:
        ValueError: There is no such preset.
    """
    if config.preset is not None:
        preset = PRESETS.get(config.preset)
        if preset is None:
            known = ", ".join(sorted(PRESETS))
            raise ValueError(f"provider {config.name!r}: preset {config.preset!r} is unknown; there are {known}")
        return preset
    if config.base_url is None or urlsplit(config.base_url).hostname == _OPENAI_HOST:
        return PRESETS["openai"]
    return PRESETS["compatible"]
