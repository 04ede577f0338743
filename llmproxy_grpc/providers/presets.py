"""Vendors as rows of data: where each is, which variable holds its key, and how it departs from OpenAI."""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.providers.chat_completions.quirks import (
    COMPATIBLE,
    OPENAI,
    EmbeddingStyle,
    PurposeStyle,
    Quirks,
    ReasoningStyle,
)


class Preset(Struct, frozen=True, kw_only=True):
    """One vendor, or one kind of server."""

    name: str
    base_url: str
    """Its address, or the one where such a server usually listens; empty if there is none."""
    quirks: Quirks
    key_variable: str = ""
    """The environment variable that holds a key, as the vendor names it; empty for servers that need none."""
    kind: str = "openai"
    responses: bool = False
    """Whether it speaks the Responses API as well."""
    models_path: str = "/models"
    """Where it lists its models, below the address; empty if it does not."""
    probe_path: str = "/models"
    """What to ask for, below the address, to see whether it answers."""


_ROWS = (
    Preset(
        name="openai",
        responses=True,
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        quirks=OPENAI,
    ),
    # What to expect of a server that no other row describes; the address has to be configured.
    Preset(name="compatible", responses=True, base_url="", quirks=COMPATIBLE),
    Preset(
        name="groq",
        responses=True,
        base_url="https://api.groq.com/openai/v1",
        key_variable="GROQ_API_KEY",
        quirks=Quirks(message_name=False, n=False, logprobs=False, logit_bias=False, dimensions_field=""),
    ),
    Preset(
        name="deepseek",
        base_url="https://api.deepseek.com",
        key_variable="DEEPSEEK_API_KEY",
        # The thinking has to come back with the results of the tools that it called.
        quirks=replace(
            COMPATIBLE,
            max_stop_sequences=16,
            n=False,
            seed=False,
            logit_bias=False,
            json_schema=False,
            parallel_tool_calls=False,
            reasoning=ReasoningStyle.THINKING,
            reasoning_replay="reasoning_content",
            embeddings=EmbeddingStyle.UNSUPPORTED,
        ),
    ),
    Preset(
        name="xai",
        responses=True,
        base_url="https://api.x.ai/v1",
        key_variable="XAI_API_KEY",
        quirks=Quirks(developer_role=False, logit_bias=False, embeddings=EmbeddingStyle.UNSUPPORTED),
    ),
    Preset(
        name="openrouter",
        responses=True,
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        # Its list of models is long, and needs no key: it would prove nothing.
        probe_path="/key",
        quirks=replace(
            COMPATIBLE,
            top_k=True,
            n=False,
            document_uri=True,
            video=True,
            cache_control=True,
            reasoning=ReasoningStyle.OBJECT,
            reasoning_replay="reasoning",
            embeddings=EmbeddingStyle.BASE64,
            embed_purpose=PurposeStyle.SEARCH,
        ),
    ),
    Preset(
        name="together",
        base_url="https://api.together.xyz/v1",
        key_variable="TOGETHER_API_KEY",
        # Its `logprobs` is a number.
        quirks=replace(COMPATIBLE, top_k=True, logprobs=False, dimensions_field=""),
    ),
    Preset(
        name="fireworks",
        responses=True,
        base_url="https://api.fireworks.ai/inference/v1",
        key_variable="FIREWORKS_API_KEY",
        quirks=replace(COMPATIBLE, top_k=True),
    ),
    Preset(
        name="perplexity",
        base_url="https://api.perplexity.ai",
        key_variable="PERPLEXITY_API_KEY",
        models_path="",
        quirks=replace(
            COMPATIBLE,
            top_k=True,
            tools=False,
            n=False,
            seed=False,
            logprobs=False,
            logit_bias=False,
            message_name=False,
            # Its vectors are of another precision, at another address.
            embeddings=EmbeddingStyle.UNSUPPORTED,
        ),
    ),
    Preset(
        name="cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_variable="CEREBRAS_API_KEY",
        quirks=Quirks(
            developer_role=False, n=False, penalties=False, logit_bias=False, embeddings=EmbeddingStyle.UNSUPPORTED
        ),
    ),
    Preset(
        name="nvidia",
        base_url="https://integrate.api.nvidia.com/v1",
        key_variable="NVIDIA_API_KEY",
        quirks=replace(COMPATIBLE, embeddings=EmbeddingStyle.BASE64, embed_purpose=PurposeStyle.PASSAGE),
    ),
    Preset(
        name="vllm",
        responses=True,
        base_url="http://127.0.0.1:8000/v1",
        quirks=replace(
            COMPATIBLE,
            top_k=True,
            video=True,
            embeddings=EmbeddingStyle.BASE64,
            max_embed_inputs=256,
            # It counts beside its `/v1`, not below.
            count_path="/../tokenize",
        ),
    ),
    Preset(name="sglang", base_url="http://127.0.0.1:30000/v1", quirks=replace(COMPATIBLE, top_k=True, video=True)),
    Preset(
        name="llama-cpp",
        responses=True,
        base_url="http://127.0.0.1:8080/v1",
        quirks=replace(
            COMPATIBLE,
            top_k=True,
            embeddings=EmbeddingStyle.BASE64,
            # It would send the whole vectors.
            dimensions_field="",
            max_embed_inputs=256,
            count_path="/chat/completions/input_tokens",
        ),
    ),
    Preset(
        name="lm-studio",
        responses=True,
        base_url="http://127.0.0.1:1234/v1",
        quirks=replace(COMPATIBLE, top_k=True, dimensions_field=""),
    ),
    Preset(
        name="litellm",
        responses=True,
        base_url="http://127.0.0.1:4000/v1",
        quirks=replace(COMPATIBLE, top_k=True),
    ),
    Preset(
        name="ollama",
        responses=True,
        base_url="http://127.0.0.1:11434/v1",
        quirks=replace(
            COMPATIBLE,
            tool_choice=False,
            parallel_tool_calls=False,
            n=False,
            logit_bias=False,
            image_uri=False,
            embeddings=EmbeddingStyle.BASE64,
        ),
    ),
)

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ROWS}
