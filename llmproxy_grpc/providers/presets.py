"""Vendors as rows of data: where each is, which variable holds its key, and how it departs from OpenAI."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.providers.chat_completions.quirks import (
    COMPATIBLE,
    COMPATIBLE_RESPONSES,
    OPENAI,
    OPENAI_RESPONSES,
    UNDESCRIBED,
    CacheStyle,
    Effort,
    EmbeddingStyle,
    PrefillStyle,
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
    responses: Quirks | None = None
    """The same by the Responses API; None if it does not speak that."""
    api: Literal["chat", "responses"] = "chat"
    """What is spoken where the configuration does not say."""
    models_path: str = "/models"
    """Where it lists its models, below the address; empty if it does not."""
    probe_path: str = "/models"
    """What to ask for, below the address, to see whether it answers."""


_GROQ = Quirks(
    plain_names=True,
    message_name=False,
    n=False,
    penalties=False,
    logprobs=False,
    logit_bias=False,
    audio=False,
    documents=False,
    media_results=True,
    refusals=False,
    dimensions_field="",
)
_DEEPSEEK = replace(
    COMPATIBLE,
    plain_names=True,
    strict_results=True,
    max_stop_sequences=16,
    n=False,
    seed=False,
    logit_bias=False,
    json_schema=False,
    parallel_tool_calls=False,
    images=False,
    audio=False,
    documents=False,
    reasoning=ReasoningStyle.THINKING,
    # The thinking has to come back with the results of the tools that it called.
    reasoning_replay="reasoning_content",
    embeddings=EmbeddingStyle.UNSUPPORTED,
)
_XAI = Quirks(developer_role=False, logit_bias=False, refusals=False, embeddings=EmbeddingStyle.UNSUPPORTED)
_OPENROUTER = replace(
    COMPATIBLE,
    top_k=True,
    n=False,
    document_uri=True,
    video=True,
    image_answers=True,
    cache_hints=CacheStyle.CONTROL,
    max_call_id=40,  # as OpenAI's models want them
    reasoning=ReasoningStyle.OBJECT,
    reasoning_replay="reasoning",
    embeddings=EmbeddingStyle.BASE64,
    embed_purpose=PurposeStyle.SEARCH,
)
_PERPLEXITY = replace(
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
)
_FIREWORKS = replace(COMPATIBLE, top_k=True)
_VLLM = replace(
    COMPATIBLE,
    prefill=PrefillStyle.CONTINUE,
    top_k=True,
    # It takes the field, and takes no notice of it.
    image_detail=False,
    documents=False,
    video=True,
    embeddings=EmbeddingStyle.BASE64,
    max_embed_inputs=256,
    # It counts beside its `/v1`, not below.
    count_path="/../tokenize",
)
_LLAMA_CPP = replace(
    COMPATIBLE,
    prefill=PrefillStyle.LAST,
    top_k=True,
    # Its usage is that of one of them.
    counts_candidates=False,
    image_detail=False,
    documents=False,
    embeddings=EmbeddingStyle.BASE64,
    # It would send the whole vectors.
    dimensions_field="",
    max_embed_inputs=256,
    count_path="/chat/completions/input_tokens",
)
_LM_STUDIO = replace(COMPATIBLE, top_k=True, audio=False, documents=False, dimensions_field="")
_LITELLM = replace(UNDESCRIBED, top_k=True, image_answers=True)
_OLLAMA = replace(
    COMPATIBLE,
    tool_choice=False,
    parallel_tool_calls=False,
    n=False,
    logit_bias=False,
    image_uri=False,
    image_detail=False,
    audio=False,
    documents=False,
    embeddings=EmbeddingStyle.BASE64,
)

_ROWS = (
    Preset(
        name="openai",
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        quirks=OPENAI,
        responses=OPENAI_RESPONSES,
    ),
    # What to expect of a server that no other row describes; the address has to be configured.
    Preset(name="compatible", base_url="", quirks=UNDESCRIBED, responses=COMPATIBLE_RESPONSES),
    Preset(
        name="groq",
        base_url="https://api.groq.com/openai/v1",
        key_variable="GROQ_API_KEY",
        quirks=_GROQ,
        responses=replace(_GROQ, media_results=False),
    ),
    Preset(
        name="deepseek",
        base_url="https://api.deepseek.com",
        key_variable="DEEPSEEK_API_KEY",
        quirks=_DEEPSEEK,
        responses=_DEEPSEEK,
    ),
    Preset(
        name="xai",
        base_url="https://api.x.ai/v1",
        key_variable="XAI_API_KEY",
        quirks=_XAI,
        responses=replace(_XAI, audio=False, document_uri=True, encrypted_reasoning=True),
    ),
    Preset(
        name="openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        # Its list of models is long, and needs no key: it would prove nothing.
        probe_path="/key",
        quirks=_OPENROUTER,
        responses=replace(_OPENROUTER, cache_hints=CacheStyle.UNSUPPORTED, encrypted_reasoning=True),
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
        base_url="https://api.fireworks.ai/inference/v1",
        key_variable="FIREWORKS_API_KEY",
        quirks=_FIREWORKS,
        responses=_FIREWORKS,
    ),
    Preset(
        name="perplexity",
        base_url="https://api.perplexity.ai/v1",
        key_variable="PERPLEXITY_API_KEY",
        models_path="",
        quirks=_PERPLEXITY,
        # It calls functions, and has the format of an answer under another name.
        responses=replace(
            _PERPLEXITY,
            tools=True,
            tool_choice=False,
            parallel_tool_calls=False,
            json_object=False,
            json_schema=False,
            documents=False,
            # It neither stops thinking nor shows it, nor looks closer at a picture, nor knows one by an id.
            file_ids=False,
            effort_none=False,
            highest_effort=Effort.XHIGH,
            shows_reasoning=False,
            image_detail=False,
        ),
        # It ended Chat Completions on 2026-09-27.
        api="responses",
    ),
    Preset(
        name="cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_variable="CEREBRAS_API_KEY",
        quirks=Quirks(
            developer_role=False,
            n=False,
            penalties=False,
            logit_bias=False,
            refusals=False,
            embeddings=EmbeddingStyle.UNSUPPORTED,
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
        base_url="http://127.0.0.1:8000/v1",
        quirks=_VLLM,
        responses=replace(_VLLM, count_path=""),
    ),
    Preset(
        name="sglang",
        base_url="http://127.0.0.1:30000/v1",
        quirks=replace(COMPATIBLE, top_k=True, documents=False, video=True, prefill=PrefillStyle.CONTINUE),
    ),
    Preset(
        name="llama-cpp",
        base_url="http://127.0.0.1:8080/v1",
        quirks=_LLAMA_CPP,
        # By this API it takes the format of an answer, and writes none.
        responses=replace(
            _LLAMA_CPP,
            json_object=False,
            json_schema=False,
            logprobs=False,
            tells_limit=False,
            count_path="/responses/input_tokens",
        ),
    ),
    Preset(name="lm-studio", base_url="http://127.0.0.1:1234/v1", quirks=_LM_STUDIO, responses=_LM_STUDIO),
    Preset(name="litellm", base_url="http://127.0.0.1:4000/v1", quirks=_LITELLM, responses=COMPATIBLE_RESPONSES),
    Preset(name="ollama", base_url="http://127.0.0.1:11434/v1", quirks=_OLLAMA, responses=_OLLAMA),
)

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ROWS}
