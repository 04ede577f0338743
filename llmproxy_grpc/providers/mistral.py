"""The kind `mistral`: Mistral's own Chat Completions, which depart from OpenAI's here and there."""

from typing import Final, Self

from msgspec.structs import replace

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.chat_completions import thinking_chunks
from llmproxy_grpc.providers.chat_completions.quirks import (
    EmbeddingStyle,
    MediaStyle,
    PrefillStyle,
    Quirks,
    ReasoningStyle,
)
from llmproxy_grpc.providers.chat_completions.wire import ChatCompletions, Dialect
from llmproxy_grpc.providers.credentials import header_sets
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.http_provider import HttpProvider
from llmproxy_grpc.providers.upstream import Upstream

BASE_URL: Final = "https://api.mistral.ai"
# It refuses fields that it does not know, `stream_options` and `user` among them, and sends usage unasked.
QUIRKS: Final = Quirks(
    max_tokens_field="max_tokens",
    plain_names=True,
    seed_field="random_seed",
    negative_seeds=False,
    user_field="",
    max_stop_sequences=1000,
    developer_role=False,
    message_name=False,
    short_call_ids=True,
    refusals=False,
    strict_roles=True,
    stream_options=False,
    logit_bias=False,
    top_k=True,
    document_uri=True,
    media=MediaStyle.MISTRAL,
    media_instructions=False,
    reasoning=ReasoningStyle.EFFORT,
    reasoning_replay=thinking_chunks.FIELD,
    embeddings=EmbeddingStyle.FLOAT,
    dimensions_field="output_dimension",
    prefill=PrefillStyle.PREFIX_ECHOED,
    max_embed_inputs=256,
    max_embed_bytes=40_000,  # it takes 16,000 tokens at once
)
RANGES: Final = {"temperature": (0.0, 1.5)}
"""By what it says when it refuses another: its reference tells none."""


_OF_ONE_LENGTH: Final = "mistral-embed"
"""What the names of models begin with whose vectors have one length: they refuse to be told another."""


class MistralCompletions(ChatCompletions):
    """Chat Completions as Mistral speaks them."""

    def features(self, model: str) -> Features:
        """What a model can do."""
        features = super().features(model)
        if features.embed is None or not model.startswith(_OF_ONE_LENGTH):
            return features
        return replace(features, embed=replace(features.embed, dimensions=False))


class MistralProvider(HttpProvider):
    """One upstream that speaks Mistral's API."""

    kind = "mistral"

    @classmethod
    def from_config(cls, config: ProviderConfig, http: HttpClient) -> Self:
        """Builds the provider, inside a running event loop; `http` stays its owner's to close.

        Raises:
            ValueError: Mistral's own address has no key.
        """
        sets = header_sets(config, "authorization", scheme="Bearer", own_address=config.base_url is None)
        upstream = Upstream(http, f"{config.base_url or BASE_URL}/v1", headers=sets)
        dialect = Dialect(quirks=QUIRKS, names=(cls.kind,), ranges=RANGES)
        return cls(config.name, MistralCompletions(upstream, dialect))
