"""The arithmetic of token counts: thinking is counted beside the answer here, and tools' prompts beside the prompt."""

from typing import Any

from llmproxy_grpc.messages import Modality, ModalityTokens, Usage
from llmproxy_grpc.providers.counts import LARGEST_COUNT, clipped
from llmproxy_grpc.providers.generate_content.shapes import UsageMetadata
from llmproxy_grpc.providers.tiers import is_other_tier

_TEXT = "TEXT"
_MODALITIES = {
    "IMAGE": Modality.IMAGE,
    "AUDIO": Modality.AUDIO,
    "VIDEO": Modality.VIDEO,
    "DOCUMENT": Modality.DOCUMENT,
}


def read_usage(counts: UsageMetadata | None, *, searched: bool = False) -> Usage | None:
    """Reads the counts; None if nothing of the prompt is counted. Searches, if there were any, cost a fee each."""
    if counts is None:
        return None
    thoughts = clipped(counts.thoughtsTokenCount)
    input_tokens = min(clipped(counts.promptTokenCount) + clipped(counts.toolUsePromptTokenCount), LARGEST_COUNT)
    output_tokens = min(clipped(counts.candidatesTokenCount) + thoughts, LARGEST_COUNT)
    if not input_tokens:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=min(input_tokens + output_tokens, LARGEST_COUNT),
        cached_input_tokens=min(clipped(counts.cachedContentTokenCount), input_tokens),
        reasoning_tokens=thoughts,
        modality_tokens=_modalities(counts),
        at_other_rates=searched or is_other_tier(counts.serviceTier) or is_other_tier(counts.trafficType),
    )


def _modalities(counts: UsageMetadata) -> tuple[ModalityTokens, ...]:
    prompt, tools, said = counts.promptTokensDetails, counts.toolUsePromptTokensDetails, counts.candidatesTokensDetails
    # The counts come with every chunk, and nearly always they are of text alone.
    if _is_text(prompt) and _is_text(said) and _is_text(tools):
        return ()
    read, used, written = _by_modality(prompt), _by_modality(tools), _by_modality(said)
    return tuple(
        ModalityTokens(modality, min(read.get(name, 0) + used.get(name, 0), LARGEST_COUNT), written.get(name, 0))
        for name, modality in _MODALITIES.items()
        if name in read or name in used or name in written
    )


def _is_text(details: Any) -> bool:
    if not isinstance(details, list):
        return True
    for each in details:  # noqa: SIM110 - a generator would cost more than all else here
        if not isinstance(each, dict) or each.get("modality") != _TEXT:
            return False
    return True


def _by_modality(details: Any) -> dict[str, int]:
    entries = (each for each in details if isinstance(each, dict)) if isinstance(details, list) else ()
    return {str(each.get("modality")): clipped(each.get("tokenCount")) for each in entries}
