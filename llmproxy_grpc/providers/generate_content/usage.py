"""The arithmetic of token counts: thinking is counted beside the answer here, and tools' prompts beside the prompt."""

from typing import Any

from llmproxy_grpc.messages import Modality, ModalityTokens, Usage
from llmproxy_grpc.providers.counts import LARGEST_COUNT, clipped, count

_MODALITIES = {
    "TEXT": Modality.TEXT,
    "IMAGE": Modality.IMAGE,
    "AUDIO": Modality.AUDIO,
    "VIDEO": Modality.VIDEO,
    "DOCUMENT": Modality.DOCUMENT,
}


def read_usage(raw: Any) -> Usage | None:
    """Reads `usageMetadata`; None if it holds no count."""
    if not isinstance(raw, dict):
        return None
    input_tokens = min(count(raw, "promptTokenCount") + count(raw, "toolUsePromptTokenCount"), LARGEST_COUNT)
    thoughts = count(raw, "thoughtsTokenCount")
    output_tokens = min(count(raw, "candidatesTokenCount") + thoughts, LARGEST_COUNT)
    if not input_tokens and not output_tokens:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=min(input_tokens + output_tokens, LARGEST_COUNT),
        cached_input_tokens=min(count(raw, "cachedContentTokenCount"), input_tokens),
        reasoning_tokens=thoughts,
        modality_tokens=_modalities(raw),
    )


def _modalities(raw: dict[str, Any]) -> tuple[ModalityTokens, ...]:
    read = _by_modality(raw.get("promptTokensDetails"))
    written = _by_modality(raw.get("candidatesTokensDetails"))
    return tuple(
        ModalityTokens(modality, read.get(name, 0), written.get(name, 0))
        for name, modality in _MODALITIES.items()
        if name != "TEXT" and (read.get(name) or written.get(name))
    )


def _by_modality(details: Any) -> dict[str, int]:
    entries = (each for each in details if isinstance(each, dict)) if isinstance(details, list) else ()
    return {str(each.get("modality")): clipped(each.get("tokenCount")) for each in entries}
