"""What the Messages API honours, and what it demands of a request beside that."""

from functools import cache

from llmproxy_grpc.messages import ChatRequest, MediaKind, ToolMode
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.answered_calls import with_answered_calls
from llmproxy_grpc.providers.anthropic_messages.cache_hints import with_possible_hints
from llmproxy_grpc.providers.anthropic_messages.generations import Generation, Sampling, Thinking, generation_of
from llmproxy_grpc.providers.anthropic_messages.last_word import with_possible_last_word
from llmproxy_grpc.providers.anthropic_messages.sampling import with_possible_sampling, without_defaults
from llmproxy_grpc.providers.anthropic_messages.thinking import with_possible_thinking
from llmproxy_grpc.providers.beginnings import with_words_of_the_user
from llmproxy_grpc.providers.features import Blank, Features, MediaFeature, Source
from llmproxy_grpc.providers.function_names import ANY_NAME, NameForm
from llmproxy_grpc.providers.instructions import with_texts_as_instructions
from llmproxy_grpc.providers.provider import Adapted
from llmproxy_grpc.providers.schema_forms import ANY_SCHEMA, SINGLE_SCHEMA

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_DOCUMENTS = frozenset({"application/pdf", "text/plain"})
_NAMES = NameForm(128)
_SCHEMES = frozenset({"http", "https"})
_ANYWHERE = Source.DATA | Source.URI | Source.FILE_ID
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_RANGES = {"temperature": (0.0, 1.0)}
_MEDIA = {
    MediaKind.IMAGE: MediaFeature(prompts=_ANYWHERE, results=_ANYWHERE, types=_IMAGES, schemes=_SCHEMES),
    MediaKind.DOCUMENT: MediaFeature(prompts=_ANYWHERE, results=_ANYWHERE, types=_DOCUMENTS, schemes=_SCHEMES),
}


def features_of(model: str) -> Features:
    """The features of a model."""
    return _features(generation_of(model))


def adapt_messages(request: ChatRequest, model: str) -> Adapted:
    """Adapts a request to a model, and to the rules that its fields have with each other."""
    generation = generation_of(model)
    adapted = adapt(without_defaults(request, generation), _features(generation))
    if generation.claude:
        adapted = with_possible_last_word(with_answered_calls(adapted), generation)
    adapted = with_texts_as_instructions(with_words_of_the_user(adapted))
    adapted = with_possible_thinking(adapted, generation)
    adapted = with_possible_sampling(adapted, generation)
    return with_possible_hints(adapted, generation)


@cache
def _features(generation: Generation) -> Features:
    thinks = generation.thinking is not Thinking.NONE
    modes = {ToolMode.AUTO, ToolMode.NONE} | ({ToolMode.REQUIRED} if generation.forced_tools else set())
    return Features(
        names=("anthropic",),
        blank=Blank.NONE,
        media=_MEDIA,
        cache_hints=True,
        tools=True,
        strict_tools=generation.json_schema,
        function_names=_NAMES if generation.claude else ANY_NAME,
        function_schemas=SINGLE_SCHEMA if generation.claude else ANY_SCHEMA,
        tool_modes=frozenset(modes),
        named_tool=generation.forced_tools,
        parallel_tool_calls=True,
        result_errors=True,
        end_user=True,
        settings=frozenset({"max_output_tokens"} | (_SAMPLING if generation.sampling is not Sampling.NONE else set())),
        ranges=_RANGES if generation.claude else {},
        max_stop_sequences=1000,
        json_schema=generation.json_schema,
        reasoning_effort=thinks,
        reasoning_budget=generation.thinking in {Thinking.BUDGET, Thinking.EITHER},
        reasoning_shown=thinks,
        prefill=generation.prefill,
        count_tokens=True,
    )
