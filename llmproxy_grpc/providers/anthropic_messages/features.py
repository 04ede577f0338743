"""What the Messages API honours, and what it demands of a request beside that."""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.messages import (
    ChatRequest,
    MediaKind,
    Message,
    ReasoningConfig,
    ReasoningEffort,
    ReasoningPart,
    Role,
    ToolCallPart,
    ToolMode,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.anthropic_messages.models import Generation, Thinking, generation_of
from llmproxy_grpc.providers.features import Features, MediaFeature, Source
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported

SMALLEST_BUDGET: Final = 1024
MOST_CACHE_HINTS: Final = 4
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_DOCUMENTS = frozenset({"application/pdf", "text/plain"})
_ANYWHERE = Source.DATA | Source.URI | Source.FILE_ID
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_MEDIA = {
    MediaKind.IMAGE: MediaFeature(prompts=_ANYWHERE, results=_ANYWHERE, types=_IMAGES),
    MediaKind.DOCUMENT: MediaFeature(prompts=_ANYWHERE, results=_ANYWHERE, types=_DOCUMENTS),
}
_UNTHINKING = frozenset({ReasoningEffort.UNSPECIFIED, ReasoningEffort.NONE})


def features_of(model: str) -> Features:
    """The features of a model."""
    generation = generation_of(model)
    thinks = generation.thinking is not Thinking.NONE
    return Features(
        names=("anthropic",),
        media=_MEDIA,
        cache_hints=True,
        tools=True,
        strict_tools=True,
        tool_modes=frozenset({ToolMode.AUTO, ToolMode.NONE, ToolMode.REQUIRED}),
        named_tool=True,
        parallel_tool_calls=True,
        settings=frozenset({"max_output_tokens"} | (_SAMPLING if generation.sampling else set())),
        max_stop_sequences=1000,
        json_schema=generation.json_schema,
        reasoning_effort=thinks,
        reasoning_budget=generation.thinking in {Thinking.BUDGET, Thinking.EITHER},
        reasoning_shown=thinks,
        count_tokens=True,
    )


def adapt_messages(request: ChatRequest, model: str) -> Adapted:
    """Adapts a request to a model, and to the rules that its fields have with each other."""
    adapted = _with_fewer_hints(adapt(request, features_of(model)))
    reasoning = adapted.request.generation.reasoning
    return adapted if reasoning is None else _with_possible_thinking(adapted, reasoning, generation_of(model))


def wants_budget(reasoning: ReasoningConfig | None, generation: Generation) -> bool:
    """Whether the thinking that is asked for is one with a budget."""
    if reasoning is None or generation.thinking not in {Thinking.BUDGET, Thinking.EITHER}:
        return False
    if reasoning.budget_tokens is not None:
        return True
    return generation.thinking is Thinking.BUDGET and reasoning.effort not in _UNTHINKING


def _with_possible_thinking(adapted: Adapted, reasoning: ReasoningConfig, generation: Generation) -> Adapted:
    """Leaves the thinking out where the API would refuse the request for it, and keeps its budget within the limits."""
    if not wants_budget(reasoning, generation):
        return adapted
    request = adapted.request
    limit = request.generation.max_output_tokens
    choice = request.tool_choice
    if limit is not None and limit <= SMALLEST_BUDGET:
        return _without_thinking(adapted, reasoning, "the output limit leaves no room for thinking")
    if choice is not None and (choice.function_name or choice.mode is ToolMode.REQUIRED):
        return _without_thinking(adapted, reasoning, "this model does not think where it must call a tool")
    if _continues_without_thinking(request.messages):
        why = "thinking is off: the tool calls to go on from come from a turn without thinking, or from another target"
        changed = replace(request, generation=replace(request.generation, reasoning=None))
        return Adapted(changed, adapted.unsupported, (*adapted.changes, Change("generation.reasoning", why)))
    return _with_possible_budget(adapted, reasoning, limit)


def _without_thinking(adapted: Adapted, reasoning: ReasoningConfig, why: str) -> Adapted:
    field = "generation.reasoning." + ("effort" if reasoning.budget_tokens is None else "budget_tokens")
    request = replace(adapted.request, generation=replace(adapted.request.generation, reasoning=None))
    return Adapted(request, (*adapted.unsupported, Unsupported(field, why)), adapted.changes)


def _with_possible_budget(adapted: Adapted, reasoning: ReasoningConfig, limit: int | None) -> Adapted:
    budget = reasoning.budget_tokens
    if budget is None:
        return adapted
    possible = max(budget, SMALLEST_BUDGET)
    if limit is not None:
        possible = min(possible, limit - 1)
    if possible == budget:
        return adapted
    config = replace(adapted.request.generation, reasoning=replace(reasoning, budget_tokens=possible))
    why = f"this model gets {possible}: {SMALLEST_BUDGET} at least, and less than the output limit"
    change = Change("generation.reasoning.budget_tokens", why)
    return Adapted(replace(adapted.request, generation=config), adapted.unsupported, (*adapted.changes, change))


def _continues_without_thinking(messages: tuple[Message, ...]) -> bool:
    """Whether the model is to go on from tool calls before which it did not think, which the API refuses.

    Tokens that other targets made are gone by now, and thinking without its token cannot be sent back.
    """
    if not messages or messages[-1].role is not Role.TOOL:
        return False
    calling = next((message for message in reversed(messages) if message.role is Role.ASSISTANT), None)
    if calling is None or not any(isinstance(part, ToolCallPart) for part in calling.parts):
        return False
    return not any(isinstance(part, ReasoningPart) and part.continuity_token for part in calling.parts)


def _with_fewer_hints(adapted: Adapted) -> Adapted:
    """Keeps the last of the cache hints, which cover what stands before them as well."""
    hints = list(_hints(adapted.request.messages))
    surplus = hints[: max(0, len(hints) - MOST_CACHE_HINTS)]
    if not surplus:
        return adapted
    messages = [list(message.parts) for message in adapted.request.messages]
    for turn, place in surplus:
        messages[turn][place] = replace(messages[turn][place], cache_hint=None)
    kept = tuple(
        replace(message, parts=tuple(parts)) for message, parts in zip(adapted.request.messages, messages, strict=True)
    )
    why = f"this provider takes {MOST_CACHE_HINTS} at most: the last ones are kept"
    found = [Unsupported(f"messages[{turn}].parts[{place}].cache_hint", why) for turn, place in surplus]
    return Adapted(replace(adapted.request, messages=kept), (*adapted.unsupported, *found), adapted.changes)


def _hints(messages: tuple[Message, ...]) -> Iterator[tuple[int, int]]:
    for turn, message in enumerate(messages):
        for place, part in enumerate(message.parts):
            if part.cache_hint is not None:
                yield turn, place
