"""The arithmetic of token counts: every vendor's `usage` as one Usage."""

from collections.abc import Mapping
from typing import Any

from llmproxy_grpc.messages import Modality, ModalityTokens, Usage
from llmproxy_grpc.providers.chat_completions.money import read_cost
from llmproxy_grpc.providers.counts import LARGEST_COUNT, count

_NOTHING: Mapping[str, Any] = {}

_MODALITIES = (
    ("audio_tokens", Modality.AUDIO),
    ("image_tokens", Modality.IMAGE),
    ("video_tokens", Modality.VIDEO),
)


def read_usage(raw: Any, *, at_other_rates: bool = False) -> Usage | None:
    """Reads a `usage` object as liberally as possible; None if it counts nothing of the prompt.

    Counts that are negative, no numbers or beyond 32 bits are clipped to what the API can say.

    Args:
        raw: The object.
        at_other_rates: Whether the rest of the answer says that the standard rates do not hold.
    """
    if not isinstance(raw, dict):
        return None
    prompt = _mapping(raw, "prompt_tokens_details", "input_tokens_details")
    completion = _mapping(raw, "completion_tokens_details", "output_tokens_details")
    cached = _cached(raw, prompt)
    reasoning = count(completion, "reasoning_tokens") or count(raw, "reasoning_tokens")
    total = count(raw, "total_tokens")
    input_tokens = _input(raw, cached, total)
    output_tokens = _output(raw, input_tokens, reasoning, total)
    if not input_tokens:
        return None
    written = _written(raw, prompt)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=min(input_tokens + output_tokens, LARGEST_COUNT),
        cached_input_tokens=min(cached, input_tokens),
        cache_write_input_tokens=min(written, input_tokens),
        reasoning_tokens=min(reasoning, output_tokens),
        modality_tokens=_modalities(prompt, completion) if prompt or completion else (),
        cost=read_cost(raw),
        at_other_rates=at_other_rates,
        cache_write_1h_input_tokens=min(_written_for_an_hour(prompt), written, input_tokens),
    )


def _mapping(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        value = raw.get(name)
        if isinstance(value, dict):
            return value
    return _NOTHING


def _cached(raw: Mapping[str, Any], details: Mapping[str, Any]) -> int:
    return count(details, "cached_tokens") or count(raw, "prompt_cache_hit_tokens") or count(raw, "cached_tokens")


def _written(raw: Mapping[str, Any], details: Mapping[str, Any]) -> int:
    """What was written to the cache; LiteLLM, whose names follow OpenAI's, counts it within the prompt as well."""
    return (
        count(details, "cache_write_tokens")
        or count(details, "cache_creation_tokens")
        or (count(raw, "cache_creation_input_tokens") if "prompt_tokens" in raw else 0)
    )


def _written_for_an_hour(details: Mapping[str, Any]) -> int:
    return count(_mapping(details, "cache_creation_token_details"), "ephemeral_1h_input_tokens")


def _input(raw: Mapping[str, Any], cached: int, total: int) -> int:
    tokens = count(raw, "prompt_tokens") or count(raw, "input_tokens")
    if tokens:
        return tokens
    missed = count(raw, "prompt_cache_miss_tokens")
    if missed:
        return min(cached + missed, LARGEST_COUNT)
    return max(total - count(raw, "completion_tokens"), 0)


def _output(raw: Mapping[str, Any], input_tokens: int, reasoning: int, total: int) -> int:
    if "completion_tokens" not in raw and "output_tokens" not in raw:
        return max(total - input_tokens, 0)
    tokens = count(raw, "completion_tokens") or count(raw, "output_tokens")
    # xAI counts thinking beside the completion, and only the total tells.
    if reasoning and input_tokens + tokens != total and input_tokens + tokens + reasoning == total:
        return min(tokens + reasoning, LARGEST_COUNT)
    return tokens


def _modalities(prompt: Mapping[str, Any], completion: Mapping[str, Any]) -> tuple[ModalityTokens, ...]:
    counts = ((modality, count(prompt, name), count(completion, name)) for name, modality in _MODALITIES)
    return tuple(ModalityTokens(modality, read, written) for modality, read, written in counts if read or written)
