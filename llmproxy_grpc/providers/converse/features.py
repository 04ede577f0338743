"""What Converse honours for a model, and what it demands of a request beside that."""

from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import ChatRequest, GenerationConfig, MediaKind, ReasoningEffort, ToolMode
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.answered_calls import with_answered_calls
from llmproxy_grpc.providers.anthropic_messages.generations import Generation, Sampling, Thinking, generation_of
from llmproxy_grpc.providers.anthropic_messages.last_word import with_possible_last_word
from llmproxy_grpc.providers.anthropic_messages.sampling import with_possible_sampling, without_defaults
from llmproxy_grpc.providers.anthropic_messages.thinking import with_possible_thinking
from llmproxy_grpc.providers.beginnings import begun_by_the_user, with_words_of_the_user
from llmproxy_grpc.providers.converse.cache_hints import with_possible_hints
from llmproxy_grpc.providers.converse.embed_layouts import layout_of
from llmproxy_grpc.providers.converse.formats import FORMATS
from llmproxy_grpc.providers.converse.history import called_tools
from llmproxy_grpc.providers.converse.makers import NAMES, Demand, Maker, maker_of
from llmproxy_grpc.providers.converse.media import with_possible_media
from llmproxy_grpc.providers.features import Blank, Features, MediaFeature, Source
from llmproxy_grpc.providers.function_names import PLAIN_NAME
from llmproxy_grpc.providers.instructions import with_texts_as_instructions
from llmproxy_grpc.providers.provider import Adapted, Change

_S3 = frozenset({"s3"})
_SOURCES = Source.DATA | Source.URI
_MEDIA: Final = {
    kind: MediaFeature(
        prompts=_SOURCES,
        results=_SOURCES if kind is not MediaKind.AUDIO else Source.NONE,
        types=frozenset(types),
        schemes=_S3,
    )
    for kind, types in FORMATS.items()
}
_DEFAULTS: Final = GenerationConfig()
_RANGES: Final = {"temperature": (0.0, 1.0)}
"""What Converse takes of any model."""
_BUDGETS: Final = frozenset({Thinking.BUDGET, Thinking.EITHER})


@lru_cache(maxsize=1024)  # callers choose the names
def features_of(model: str) -> Features:
    """The features of a model."""
    layout = layout_of(model)
    if layout is not None:
        return Features(names=NAMES, chat=False, embed=layout.features)
    maker = maker_of(model)
    claude = generation_of(model) if maker.claude else None
    demand = _demand(maker, claude)
    schemas = maker.json_schema and (claude is None or claude.json_schema)
    return Features(
        names=NAMES,
        blank=Blank.NONE,
        media={kind: feature for kind, feature in _MEDIA.items() if kind in maker.media},
        cache_hints=maker.cache_points,
        tools=maker.tools,
        strict_tools=maker.tools and schemas,
        function_names=PLAIN_NAME,
        function_schemas=maker.function_schemas,
        tool_modes=_tool_modes(demand),
        named_tool=demand is Demand.NAMED,
        parallel_tool_calls=maker.parallel,
        result_errors=maker.result_status,
        settings=_settings(maker, claude),
        ranges=_RANGES,
        max_stop_sequences=2500,
        json_schema=schemas,
        reasoning_effort=maker.effort is not None or (claude is not None and claude.thinking is not Thinking.NONE),
        reasoning_budget=claude is not None and claude.thinking in _BUDGETS,
        reasoning_shown=True,
        count_tokens=maker.claude,
    )


def adapt_converse(request: ChatRequest, model: str) -> Adapted:
    """Adapts a request to a model, and to the rules that its fields have with each other."""
    maker, features = maker_of(model), features_of(model)
    choice = request.tool_choice
    if choice is not None and choice.mode is ToolMode.NONE and called_tools(request.messages):
        # It has no word for no calls, and wants the tools as long as the conversation has calls.
        features = replace(features, tool_modes=features.tool_modes - {ToolMode.NONE})
    adapted = adapt(_without_defaults(request, maker, model), features)
    adapted = with_possible_media(with_answered_calls(with_words_of_the_user(adapted)))
    # Who speaks first, last and at all is another matter once something was left out.
    adapted = begun_by_the_user(adapted, lambda _message: True)
    if maker.claude:
        adapted = with_possible_last_word(adapted, generation_of(model))
    adapted = with_words_of_the_user(with_texts_as_instructions(adapted))
    if request.generation != _DEFAULTS:
        adapted = _with_possible_settings(adapted, maker, model)
    return with_possible_hints(adapted, long_cache=maker.long_cache) if maker.cache_points else adapted


def _demand(maker: Maker, claude: Generation | None) -> Demand:
    return Demand.NOTHING if not maker.tools or (claude is not None and not claude.forced_tools) else maker.demand


def _tool_modes(demand: Demand) -> frozenset[ToolMode]:
    """The modes that can be demanded: none at all is one of them, as tools can be left out."""
    modes = {ToolMode.AUTO, ToolMode.NONE}
    return frozenset(modes if demand is Demand.NOTHING else {*modes, ToolMode.REQUIRED})


def _settings(maker: Maker, claude: Generation | None) -> frozenset[str]:
    if claude is not None and claude.sampling is Sampling.NONE:
        return frozenset({"max_output_tokens"})
    plain = {"max_output_tokens", "temperature", "top_p"}
    return frozenset(plain if maker.top_k is None else {*plain, "top_k"})


def _without_defaults(request: ChatRequest, maker: Maker, model: str) -> ChatRequest:
    return without_defaults(request, generation_of(model)) if maker.claude else request


def _with_possible_settings(adapted: Adapted, maker: Maker, model: str) -> Adapted:
    if not maker.claude:
        return _with_some_thinking(adapted, maker)
    generation = generation_of(model)
    return with_possible_sampling(with_possible_thinking(adapted, generation), generation)


def _with_some_thinking(adapted: Adapted, maker: Maker) -> Adapted:
    """Asks for a little thinking where none at all cannot be had."""
    reasoning = adapted.request.generation.reasoning
    if not maker.always_thinks or reasoning is None or reasoning.effort is not ReasoningEffort.NONE:
        return adapted
    least = replace(reasoning, effort=ReasoningEffort.MINIMAL)
    changed = replace(adapted.request, generation=replace(adapted.request.generation, reasoning=least))
    change = Change("generation.reasoning.effort", "this model always thinks: it is asked to think as little as it can")
    return replace(adapted, request=changed, changes=(*adapted.changes, change))
