"""What Gemini's models honour, by their generation."""

import re
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import ChatRequest, EmbedPurpose, MediaKind, Modality, ReasoningEffort, ToolMode
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.features import EmbedFeatures, Features, MediaFeature, Source
from llmproxy_grpc.providers.provider import Adapted, Change

NAMES: Final = ("gemini",)
_PROMPTS = Source.DATA | Source.URI
_EMBEDDING = re.compile(r"embedding")
_VERSION = re.compile(r"gemini-(\d+)")
_SETTINGS = frozenset(
    {
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
    }
)
PURPOSES: Final = {
    EmbedPurpose.DOCUMENT: "RETRIEVAL_DOCUMENT",
    EmbedPurpose.QUERY: "RETRIEVAL_QUERY",
    EmbedPurpose.CLASSIFICATION: "CLASSIFICATION",
    EmbedPurpose.CLUSTERING: "CLUSTERING",
    EmbedPurpose.SIMILARITY: "SEMANTIC_SIMILARITY",
}


def version_of(model: str) -> int:
    """The generation of a model; names that tell none are taken for the newest that everybody has."""
    found = _VERSION.search(model)
    return int(found[1]) if found else 3


def features_of(model: str) -> Features:
    """The features of a model."""
    embeds = _EMBEDDING.search(model) is not None
    return Features(
        names=NAMES,
        media=_media(version_of(model)),
        tools=True,
        tool_modes=frozenset({ToolMode.AUTO, ToolMode.NONE, ToolMode.REQUIRED}),
        named_tool=True,
        settings=_SETTINGS,
        max_stop_sequences=5,
        many_candidates=True,
        json_object=True,
        json_schema=True,
        reasoning_effort=True,
        reasoning_budget=True,
        reasoning_shown=True,
        output_modalities=frozenset({Modality.TEXT, Modality.IMAGE, Modality.AUDIO}),
        chat=not embeds,
        embed=EmbedFeatures(dimensions=True, purposes=frozenset(PURPOSES), most_inputs=100) if embeds else None,
        count_tokens=True,
    )


def adapt_content(request: ChatRequest, model: str) -> Adapted:
    """Adapts a request to a model; the newest ones always think a little."""
    adapted = adapt(request, features_of(model))
    reasoning = adapted.request.generation.reasoning
    if reasoning is None or reasoning.effort is not ReasoningEffort.NONE or version_of(model) < 3:
        return adapted
    least = replace(reasoning, effort=ReasoningEffort.MINIMAL)
    changed = replace(adapted.request, generation=replace(adapted.request.generation, reasoning=least))
    change = Change("generation.reasoning.effort", "this model thinks a little at least: it gets MINIMAL")
    return Adapted(changed, adapted.unsupported, (*adapted.changes, change))


def _media(version: int) -> dict[MediaKind, MediaFeature]:
    # Results of functions may hold media since Gemini 3.
    results = Source.DATA if version >= 3 else Source.NONE
    return {
        MediaKind.IMAGE: MediaFeature(prompts=_PROMPTS, results=results),
        MediaKind.AUDIO: MediaFeature(prompts=_PROMPTS),
        MediaKind.VIDEO: MediaFeature(prompts=_PROMPTS),
        MediaKind.DOCUMENT: MediaFeature(prompts=_PROMPTS, results=results),
    }
