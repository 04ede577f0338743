"""What generateContent honours, and the rules that its fields have with each other."""

import re
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedPurpose,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    MediaKind,
    Modality,
    ProviderTool,
    ReasoningEffort,
    ToolMode,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.answered_calls import with_answered_calls
from llmproxy_grpc.providers.beginnings import begun_by_the_user, calls_a_tool, with_words_of_the_user
from llmproxy_grpc.providers.features import Blank, EmbedFeatures, Features, MediaFeature, Place, Source
from llmproxy_grpc.providers.function_names import NameForm
from llmproxy_grpc.providers.generate_content.generations import (
    MOST_MODELS,
    Generation,
    generation_of,
    possible_budget,
)
from llmproxy_grpc.providers.instructions import with_texts_as_instructions
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported
from llmproxy_grpc.providers.tools import forbids_calls

NAMES: Final = ("gemini",)
PURPOSES: Final = {
    EmbedPurpose.DOCUMENT: "RETRIEVAL_DOCUMENT",
    EmbedPurpose.QUERY: "RETRIEVAL_QUERY",
    EmbedPurpose.CLASSIFICATION: "CLASSIFICATION",
    EmbedPurpose.CLUSTERING: "CLUSTERING",
    EmbedPurpose.SIMILARITY: "SEMANTIC_SIMILARITY",
}
_FUNCTION_NAMES = NameForm(128, ".:", first_is_letter=True)
_SEEDS = range(-(2**31), 2**31)
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_PENALTIES = frozenset({"presence_penalty", "frequency_penalty"})
_LOGPROBS = frozenset({"top_logprobs"})
_NOTHING: frozenset[str] = frozenset()
_EMBEDS = re.compile(r"embedding")
_EMBEDS_MEDIA = re.compile(r"gemini-embedding-(?!001|exp)")
_MOST_PREDICTED_BYTES = 50_000
"""Vertex AI's older API takes 20,000 tokens at once."""
_SCHEMES = frozenset({"https", "gs"})
_OUTSIDE_RESULTS = frozenset({Place.PROMPT, Place.ANSWER})
_IN_RESULTS = frozenset({MediaKind.IMAGE, MediaKind.DOCUMENT})


@lru_cache(maxsize=MOST_MODELS)
def features_of(model: str, *, vertex: bool = False) -> Features:
    """The features of a model, at Vertex AI or at AI Studio."""
    generation = generation_of(model)
    media = _media(generation, vertex=vertex)
    embed = None
    if _EMBEDS.search(model):
        newer = bool(_EMBEDS_MEDIA.search(model))
        embed = EmbedFeatures(
            media=media if newer else {},
            dimensions=True,
            # Newer models take no notice of it: they want it said in the text itself, which is the caller's.
            purposes=frozenset() if newer else frozenset(PURPOSES),
            most_inputs=100,
            most_bytes=_MOST_PREDICTED_BYTES if predicts(model, vertex=vertex) else 0,
        )
    return Features(
        names=NAMES,
        blank=Blank.SPACES,
        opaque=_OUTSIDE_RESULTS,
        media=media,
        tools=True,
        strict_tools=True,
        function_names=_FUNCTION_NAMES,
        tool_modes=frozenset({ToolMode.AUTO, ToolMode.NONE, ToolMode.REQUIRED}),
        named_tool=True,
        result_errors=True,
        settings=_settings(generation, vertex=vertex),
        seeds=_SEEDS,
        max_stop_sequences=5,
        many_candidates=generation.many_candidates,
        json_object=True,
        json_schema=True,
        reasoning_effort=generation.thinks,
        reasoning_budget=generation.budgets is not None,
        reasoning_shown=generation.thinks,
        output_modalities=frozenset({Modality.TEXT, Modality.IMAGE, Modality.AUDIO}),
        chat=embed is None,
        embed=embed,
        count_tokens=True,
    )


def predicts(model: str, *, vertex: bool) -> bool:
    """Whether a model makes vectors by Vertex AI's older API."""
    return vertex and "gemini" not in model


def adapt_content(request: ChatRequest, model: str, *, vertex: bool = False) -> Adapted:
    """Adapts a request to a model, and to the rules that its fields have with each other."""
    generation = generation_of(model)
    adapted = adapt(request, features_of(model, vertex=vertex))
    # Words of the model may begin a conversation here, a call may not.
    adapted = begun_by_the_user(with_answered_calls(adapted), calls_a_tool)
    adapted = with_texts_as_instructions(with_words_of_the_user(adapted))
    adapted = _with_possible_tools(_with_possible_thinking(adapted, generation), generation)
    return _with_possible_format(adapted, generation)


def _settings(generation: Generation, *, vertex: bool) -> frozenset[str]:
    penalties = generation.penalties and (vertex or generation.penalties_at_studio)
    return (
        frozenset({"max_output_tokens", "seed"})
        | (_SAMPLING if generation.sampling else _NOTHING)
        | (_PENALTIES if penalties else _NOTHING)
        | (_LOGPROBS if generation.logprobs else _NOTHING)
    )


def _media(generation: Generation, *, vertex: bool) -> dict[MediaKind, MediaFeature]:
    # Files are uploaded to AI Studio alone; results of functions are taken by reference at Vertex AI alone.
    prompts = Source.DATA | Source.URI | (Source.NONE if vertex else Source.FILE_ID)
    results = (Source.DATA | Source.URI if vertex else Source.DATA) if generation.media_in_results else Source.NONE
    return {
        kind: MediaFeature(
            prompts=prompts,
            results=results if kind in _IN_RESULTS else Source.NONE,
            answers=prompts,
            schemes=_SCHEMES,
            detail=_OUTSIDE_RESULTS if generation.media_detail else frozenset(),
        )
        for kind in MediaKind
    }


def _with_possible_thinking(adapted: Adapted, generation: Generation) -> Adapted:
    """Keeps to what a model can be told: some think always, and budgets have limits."""
    reasoning = adapted.request.generation.reasoning
    if reasoning is None:
        return adapted
    budget = reasoning.budget_tokens
    if budget is not None:
        possible = possible_budget(budget, generation)
        if possible != budget:
            reasoning = replace(reasoning, budget_tokens=possible)
            config = replace(adapted.request.generation, reasoning=reasoning)
            adapted = _changed(adapted, config, "generation.reasoning.budget_tokens", f"this model gets {possible}")
    if reasoning.effort is not ReasoningEffort.NONE or generation.can_stop_thinking:
        return adapted
    least = replace(reasoning, effort=ReasoningEffort.MINIMAL)
    config = replace(adapted.request.generation, reasoning=least)
    why = "this model thinks a little at least: it gets the least effort that it knows"
    return _changed(adapted, config, "generation.reasoning.effort", why)


def _changed(adapted: Adapted, config: GenerationConfig, field: str, why: str) -> Adapted:
    request = replace(adapted.request, generation=config)
    return replace(adapted, request=request, changes=(*adapted.changes, Change(field, why)))


def _with_possible_tools(adapted: Adapted, generation: Generation) -> Adapted:
    """Keeps tools of the provider out where they may not stand, and demands none of them: there is no word for it."""
    request, choice = adapted.request, adapted.request.tool_choice
    functions = tuple(tool for tool in request.tools if isinstance(tool, FunctionTool))
    if len(functions) == len(request.tools):
        return adapted
    found: list[Unsupported] = []
    if forbids_calls(choice):
        request = replace(request, tools=functions)
    elif functions and generation.tools_apart:
        why = "this model takes no such tool beside functions"
        places = (place for place, tool in enumerate(request.tools) if isinstance(tool, ProviderTool))
        found += (Unsupported(f"{adapted.path('tools', place)}.provider", why) for place in places)
        request = replace(request, tools=functions)
    elif not functions and choice is not None and choice.mode is ToolMode.REQUIRED:
        found.append(Unsupported("tool_choice.mode", "this provider can be told to call functions alone"))
        request = replace(request, tool_choice=None)
    return replace(adapted, request=request, unsupported=(*adapted.unsupported, *found))


def _with_possible_format(adapted: Adapted, generation: Generation) -> Adapted:
    """Leaves out the form of the answer where the API refuses it beside tools."""
    request = adapted.request
    wanted = request.generation.response_format
    if wanted is None or not request.tools:
        return adapted
    choice = request.tool_choice
    demanded = choice is not None and (choice.mode is ToolMode.REQUIRED or bool(choice.function_name))
    if generation.json_beside_tools and not demanded:
        return adapted
    kind = "json_schema" if isinstance(wanted, JsonSchemaFormat) else "json_object"
    why = "this model cannot be held to JSON where " + ("a function must be called" if demanded else "it has tools")
    found = Unsupported(f"generation.response_format.{kind}", why)
    changed = replace(request, generation=replace(request.generation, response_format=None))
    return replace(adapted, request=changed, unsupported=(*adapted.unsupported, found))
