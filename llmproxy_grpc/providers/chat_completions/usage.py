"""The arithmetic of token counts: every vendor's `usage` as one Usage."""

from collections.abc import Mapping
from typing import Any, Final

from llmproxy_grpc.messages import Modality, ModalityTokens, Usage
from llmproxy_grpc.providers.chat_completions.money import read_cost
from llmproxy_grpc.providers.counts import LARGEST_COUNT, count, counts

_MODALITIES: Final = (
    ("audio_tokens", Modality.AUDIO),
    ("image_tokens", Modality.IMAGE),
    ("video_tokens", Modality.VIDEO),
)
_NAMES: Final = frozenset(
    {
        "prompt_tokens",
        "input_tokens",
        "completion_tokens",
        "output_tokens",
        "total_tokens",
        "reasoning_tokens",
        "cached_tokens",
        "prompt_cache_hit_tokens",
        "prompt_cache_miss_tokens",
        "cache_creation_input_tokens",
    }
)
_NAMES_OF_DETAILS: Final = frozenset(
    {
        "reasoning_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "cache_creation_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        *(name for name, _modality in _MODALITIES),
    }
)

Counts = Mapping[str, int]


def read_usage(raw: Any, *, at_other_rates: bool = False) -> Usage | None:
    """Reads a `usage` object as liberally as possible; None if it counts nothing of the prompt.

    Counts that are negative, no numbers or beyond 32 bits are clipped to what the API can say.

    Args:
        raw: The object.
        at_other_rates: Whether the rest of the answer says that the standard rates do not hold.
    """
    if not isinstance(raw, dict):
        return None
    told = counts(raw, _NAMES)
    details = raw.get("prompt_tokens_details") or raw.get("input_tokens_details")
    prompt = counts(details, _NAMES_OF_DETAILS)
    completion = counts(raw.get("completion_tokens_details") or raw.get("output_tokens_details"), _NAMES_OF_DETAILS)
    cached = _cached(told, prompt)
    reasoning = completion.get("reasoning_tokens") or told.get("reasoning_tokens", 0)
    input_tokens = _input(told, cached)
    output_tokens = _output(told, input_tokens, reasoning)
    if not input_tokens:
        return None
    written = _written(told, prompt)
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
        cache_write_1h_input_tokens=min(_written_for_an_hour(details), written, input_tokens) if written else 0,
    )


def _cached(told: Counts, prompt: Counts) -> int:
    within = prompt.get("cached_tokens") or prompt.get("cache_read_input_tokens")
    return within or told.get("prompt_cache_hit_tokens") or told.get("cached_tokens", 0)


def _written(told: Counts, prompt: Counts) -> int:
    """What was written to the cache; LiteLLM, whose names follow OpenAI's, counts it within the prompt as well."""
    return (
        prompt.get("cache_write_tokens")
        or prompt.get("cache_creation_tokens")
        or prompt.get("cache_creation_input_tokens")
        or (told.get("cache_creation_input_tokens", 0) if "prompt_tokens" in told else 0)
    )


def _written_for_an_hour(details: Any) -> int:
    parts = details.get("cache_creation_token_details") if isinstance(details, dict) else None
    return count(parts, "ephemeral_1h_input_tokens") if isinstance(parts, dict) else 0


def _input(told: Counts, cached: int) -> int:
    tokens = told.get("prompt_tokens") or told.get("input_tokens")
    if tokens:
        return tokens
    missed = told.get("prompt_cache_miss_tokens")
    if missed:
        return min(cached + missed, LARGEST_COUNT)
    return max(told.get("total_tokens", 0) - told.get("completion_tokens", 0), 0)


def _output(told: Counts, input_tokens: int, reasoning: int) -> int:
    total = told.get("total_tokens", 0)
    if "completion_tokens" not in told and "output_tokens" not in told:
        return max(total - input_tokens, 0)
    tokens = told.get("completion_tokens") or told.get("output_tokens", 0)
    # xAI counts thinking beside the completion, and only the total tells.
    if reasoning and input_tokens + tokens != total and input_tokens + tokens + reasoning == total:
        return min(tokens + reasoning, LARGEST_COUNT)
    return tokens


def _modalities(prompt: Counts, completion: Counts) -> tuple[ModalityTokens, ...]:
    told = ((modality, prompt.get(name, 0), completion.get(name, 0)) for name, modality in _MODALITIES)
    return tuple(ModalityTokens(modality, read, written) for modality, read, written in told if read or written)
