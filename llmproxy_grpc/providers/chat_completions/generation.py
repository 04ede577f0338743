"""Sampling and output settings as fields of a request."""

from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from llmproxy_grpc.messages import (
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    ReasoningConfig,
    ReasoningEffort,
)
from llmproxy_grpc.providers.chat_completions.quirks import Quirks, ReasoningStyle

EFFORTS: Mapping[ReasoningEffort, str] = {
    effort: effort.name.lower() for effort in ReasoningEffort if effort is not ReasoningEffort.UNSPECIFIED
}

_DEFAULTS = GenerationConfig()


def add_generation(body: dict[str, Any], config: GenerationConfig, quirks: Quirks) -> None:
    """Adds the set fields to a request's body, all of which the vendor knows: unset ones stay its own, zero is sent."""
    if config is _DEFAULTS:
        return
    if config.max_output_tokens is not None:
        body[quirks.max_tokens_field] = config.max_output_tokens
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if config.top_p is not None:
        body["top_p"] = config.top_p
    if config.seed is not None:
        body[quirks.seed_field] = config.seed
    if config.top_k is not None:
        body["top_k"] = config.top_k
    if config.stop_sequences:
        body["stop"] = config.stop_sequences
    _add_rare(body, config, quirks)


def _add_rare(body: dict[str, Any], config: GenerationConfig, quirks: Quirks) -> None:
    if config.candidate_count is not None:
        body["n"] = config.candidate_count
    if config.presence_penalty is not None:
        body["presence_penalty"] = config.presence_penalty
    if config.frequency_penalty is not None:
        body["frequency_penalty"] = config.frequency_penalty
    if config.top_logprobs is not None:
        body["logprobs"] = True
        if config.top_logprobs:
            body["top_logprobs"] = config.top_logprobs
    if config.logit_bias:
        body["logit_bias"] = {str(token): _whole(bias) for token, bias in config.logit_bias.items()}
    if config.reasoning is not None:
        _add_reasoning(body, config.reasoning, quirks)
    if config.response_format is not None:
        body["response_format"] = _response_format(config.response_format)


def _whole(bias: float) -> float:
    # OpenAI documents whole numbers, and strict servers refuse 5.0.
    return int(bias) if bias == int(bias) else bias


def _add_reasoning(body: dict[str, Any], reasoning: ReasoningConfig, quirks: Quirks) -> None:
    style = quirks.reasoning
    if style is ReasoningStyle.OBJECT:
        fields = _reasoning_object(reasoning, needed=bool(quirks.reasoning_replay))
        if fields:
            body["reasoning"] = fields
        return
    if not reasoning.effort:
        return
    if style is ReasoningStyle.THINKING and reasoning.effort is ReasoningEffort.NONE:
        body["thinking"] = {"type": "disabled"}
        return
    body["reasoning_effort"] = EFFORTS[reasoning.effort]


def _reasoning_object(reasoning: ReasoningConfig, *, needed: bool) -> dict[str, Any]:
    """The settings as an object; thinking that is needed again is hidden from the caller alone."""
    fields: dict[str, Any] = {}
    if reasoning.effort:
        fields["effort"] = EFFORTS[reasoning.effort]
    if reasoning.budget_tokens is not None:
        fields["max_tokens"] = reasoning.budget_tokens
    if reasoning.include is not None:
        fields["exclude"] = not (reasoning.include or needed)
    return fields


def _response_format(wanted: JsonObjectFormat | JsonSchemaFormat) -> dict[str, Any]:
    if isinstance(wanted, JsonObjectFormat):
        return {"type": "json_object"}
    # The wire demands a name, the API does not.
    schema: dict[str, Any] = {"name": wanted.name or "answer", "schema": Raw(wanted.schema_json.encode())}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}
