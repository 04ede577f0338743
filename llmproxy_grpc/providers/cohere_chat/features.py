"""What Cohere honours."""

import re
from typing import Any, Final

from msgspec import Struct
from msgspec.json import Decoder
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedPurpose,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    MediaKind,
    ProviderTool,
    ReasoningEffort,
    ToolMode,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.features import NATURAL_SEED, Blank, EmbedFeatures, Features, MediaFeature, Place, Source
from llmproxy_grpc.providers.instructions import with_texts_as_instructions
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported

NAMES: Final = ("cohere",)
PURPOSES: Final = {
    EmbedPurpose.DOCUMENT: "search_document",
    EmbedPurpose.QUERY: "search_query",
    EmbedPurpose.CLASSIFICATION: "classification",
    EmbedPurpose.CLUSTERING: "clustering",
}
_DEFAULTS: Final = GenerationConfig()
_LEAST_TOP_P, _MOST_TOP_P = 0.01, 0.99
_EMBEDDING = re.compile(r"embed")
_OF_ONE_LENGTH = re.compile(r"-v[23]\.")
"""Versions before the fourth, which refuse to be told how long their vectors shall be."""
_PICTURES = MediaFeature(
    prompts=Source.DATA | Source.URI, detail=frozenset({Place.PROMPT}), schemes=frozenset({"http", "https"})
)
_FEATURES = Features(
    names=NAMES,
    blank=Blank.SPACES,
    opaque=frozenset(),
    media={MediaKind.IMAGE: _PICTURES},
    tools=True,
    strict_tools=True,
    tool_modes=frozenset({ToolMode.AUTO, ToolMode.NONE, ToolMode.REQUIRED}),
    settings=frozenset(
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
    ),
    # As the API's reference has them, which tells none of temperatures.
    ranges={"top_k": (0, 500), "presence_penalty": (0, 1), "frequency_penalty": (0, 1)},
    seeds=NATURAL_SEED,
    max_stop_sequences=5,
    json_object=True,
    json_schema=True,
    reasoning_budget=True,
    reasoning_shown=True,
)
_EMBEDS = replace(
    _FEATURES,
    chat=False,
    embed=EmbedFeatures(dimensions=True, purposes=frozenset(PURPOSES), most_inputs=96),
)
_EMBEDS_AT_ONE_LENGTH = replace(
    _EMBEDS, embed=EmbedFeatures(dimensions=False, purposes=frozenset(PURPOSES), most_inputs=96)
)


def features_of(model: str) -> Features:
    """The features of a model."""
    if not _EMBEDDING.search(model):
        return _FEATURES
    return _EMBEDS_AT_ONE_LENGTH if _OF_ONE_LENGTH.search(model) else _EMBEDS


def adapt_chat(request: ChatRequest, model: str) -> Adapted:
    """Adapts a request to a model, and to the rules that its fields have with each other.

    Of log probabilities there are those of the sampled tokens alone, and of efforts to think none at all.
    """
    features, reasoning = features_of(model), request.generation.reasoning
    if reasoning is not None and reasoning.effort is ReasoningEffort.NONE:
        features = replace(features, reasoning_effort=True)
    adapted = _with_possible_strictness(with_texts_as_instructions(adapt(request, features)))
    return _with_possible_settings(adapted) if request.generation != _DEFAULTS else adapted


def _with_possible_settings(adapted: Adapted) -> Adapted:
    """Leaves out what the API refuses, or takes it to the nearest that it does not."""
    config = adapted.request.generation
    other: dict[str, Any] = {}
    found: list[Unsupported] = []
    changes: list[Change] = []
    if config.top_p is not None:
        other["top_p"] = nearest = min(max(config.top_p, _LEAST_TOP_P), _MOST_TOP_P)
        if nearest != config.top_p:
            why = f"this provider takes {_LEAST_TOP_P} to {_MOST_TOP_P}; it gets {nearest}"
            changes.append(Change("generation.top_p", why))
    if config.top_logprobs:
        other["top_logprobs"] = 0
        why = "this provider tells no alternatives to the tokens that it samples"
        found.append(Unsupported("generation.top_logprobs", why))
    if config.response_format is not None and adapted.request.tools:
        other["response_format"] = None
        kind = "json_schema" if isinstance(config.response_format, JsonSchemaFormat) else "json_object"
        why = "this provider binds no answer where there are tools"
        found.append(Unsupported(f"generation.response_format.{kind}", why))
    if config.reasoning is not None and config.reasoning.budget_tokens == 0:
        # No token for thinking is none at all, for which there is another word.
        other["reasoning"] = replace(config.reasoning, effort=ReasoningEffort.NONE, budget_tokens=None)
    if not other:
        return adapted
    request = replace(adapted.request, generation=replace(config, **other))
    unsupported, changed = (*adapted.unsupported, *found), (*adapted.changes, *changes)
    return replace(adapted, request=request, unsupported=unsupported, changes=changed)


class _Schema(Struct):
    """What a schema demands at its top."""

    required: Any = None


_SCHEMA: Final = Decoder(_Schema)


def _with_possible_strictness(adapted: Adapted) -> Adapted:
    """Holds to the schemas of functions only where it can: all at once, and each must demand an argument."""
    tools = adapted.request.tools
    strict = [place for place, tool in enumerate(tools) if isinstance(tool, FunctionTool) and tool.strict]
    if not strict or all(_demands_something(tool) for tool in tools):
        return adapted
    why = "this provider holds all functions to their schemas or none, and each would have to require an argument"
    found = [Unsupported(f"{adapted.path('tools', place)}.function.strict", why) for place in strict]
    loosened = tuple(replace(tool, strict=None) if isinstance(tool, FunctionTool) else tool for tool in tools)
    request = replace(adapted.request, tools=loosened)
    return replace(adapted, request=request, unsupported=(*adapted.unsupported, *found))


def _demands_something(tool: FunctionTool | ProviderTool) -> bool:
    if isinstance(tool, ProviderTool):
        return True
    try:
        return bool(_SCHEMA.decode(tool.parameters_json_schema or "{}").required)
    except (ValueError, RecursionError):
        return False
