"""Whether and how much a model is asked to think, within what the API allows; Generation says how it wants it said."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from llmproxy_grpc.messages import (
    ChatRequest,
    Message,
    ReasoningConfig,
    ReasoningEffort,
    ReasoningPart,
    Role,
    TextPart,
    ToolMode,
)
from llmproxy_grpc.providers.anthropic_messages.generations import Generation, Thinking
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported

SMALLEST_BUDGET: Final = 1024
# Budgets for models that are told a number of tokens, and the API's words for those that are told an effort.
BUDGETS: Final[Mapping[ReasoningEffort, int]] = {
    ReasoningEffort.MINIMAL: SMALLEST_BUDGET,
    ReasoningEffort.LOW: 2048,
    ReasoningEffort.MEDIUM: 8192,
    ReasoningEffort.HIGH: 16_384,
    ReasoningEffort.XHIGH: 24_576,
    ReasoningEffort.MAX: 31_999,
}
EFFORTS: Final[Mapping[ReasoningEffort, str]] = {
    ReasoningEffort.MINIMAL: "low",
    ReasoningEffort.LOW: "low",
    ReasoningEffort.MEDIUM: "medium",
    ReasoningEffort.HIGH: "high",
    ReasoningEffort.XHIGH: "xhigh",
    ReasoningEffort.MAX: "max",
}
_UNTHINKING = frozenset({ReasoningEffort.UNSPECIFIED, ReasoningEffort.NONE})
_ROOM: Final = 8192
"""What is left for an answer behind a budget where nobody knows the model's limit."""


def with_possible_thinking(adapted: Adapted, generation: Generation) -> Adapted:
    """Leaves thinking out where the API would refuse it, and keeps its budget within the limits."""
    request = adapted.request
    reasoning = request.generation.reasoning
    if reasoning is not None and reasoning.effort is ReasoningEffort.NONE and generation.off is None:
        why = "this model always thinks: it is asked to think as little as it can"
        little = replace(reasoning, effort=ReasoningEffort.MINIMAL)
        return _changed(adapted, little, Change("generation.reasoning.effort", why))
    if reasoning is None or not _asks(reasoning, generation):
        return adapted
    if _must_call(request):
        return _without_thinking(adapted, reasoning, "this provider's models do not think where they must call a tool")
    if not _wants_budget(reasoning, generation):
        return adapted
    return _with_possible_budget(adapted, reasoning, output_limit(request, generation))


def thinks(request: ChatRequest, generation: Generation) -> bool:
    """Whether a model thinks over an adapted request: where it does not, the API refuses its earlier thinking."""
    told = told_to_think(request.provider_options.get("anthropic", {}))
    if told is not None:
        return told
    reasoning = request.generation.reasoning
    if reasoning is not None and _asks(reasoning, generation):
        return True
    if reasoning is not None and reasoning.effort is ReasoningEffort.NONE:
        return generation.off is None
    return generation.thinks_unasked


def told_to_think(options: Any) -> bool | None:
    """Whether options of the caller's own turn the thinking on; None if they say nothing of it."""
    told = options.get("thinking") if isinstance(options, Mapping) else None
    return told.get("type") != "disabled" if isinstance(told, Mapping) else None


def asks_to_think(request: ChatRequest, generation: Generation) -> bool:
    """Whether an adapted request says that the model is to think."""
    reasoning = request.generation.reasoning
    return reasoning is not None and _asks(reasoning, generation)


def output_limit(request: ChatRequest, generation: Generation) -> int:
    """The output limit, which the API demands: the caller's, else the model's own."""
    config = request.generation
    if config.max_output_tokens is not None:
        return config.max_output_tokens
    if config.reasoning is not None and config.reasoning.budget_tokens is not None and not generation.claude:
        return config.reasoning.budget_tokens + _ROOM
    return generation.most_output


def add_thinking(body: dict[str, Any], request: ChatRequest, generation: Generation) -> None:
    """Adds to a request's body how much to think."""
    reasoning = request.generation.reasoning
    if reasoning is None:
        return
    if _wants_budget(reasoning, generation):
        body["thinking"] = {"type": "enabled", "budget_tokens": _budget(reasoning, output_limit(request, generation))}
    elif reasoning.effort is ReasoningEffort.NONE:
        if generation.thinks_unasked and generation.off is not None:
            body["thinking"] = {"type": generation.off}
    elif reasoning.effort is not ReasoningEffort.UNSPECIFIED:
        body["thinking"] = _adaptive(reasoning, generation)
        body["output_config"] = {**body.get("output_config", {}), "effort": _effort(reasoning.effort, generation)}
    elif reasoning.include and generation.thinks_unasked and generation.thinking is Thinking.ADAPTIVE:
        body["thinking"] = _adaptive(reasoning, generation)


def _asks(reasoning: ReasoningConfig, generation: Generation) -> bool:
    if generation.thinking is Thinking.NONE:
        return False
    return _wants_budget(reasoning, generation) or reasoning.effort not in _UNTHINKING


def _wants_budget(reasoning: ReasoningConfig, generation: Generation) -> bool:
    if reasoning.effort is ReasoningEffort.NONE or generation.thinking not in {Thinking.BUDGET, Thinking.EITHER}:
        return False
    if reasoning.budget_tokens is not None:
        return True
    return generation.thinking is Thinking.BUDGET and reasoning.effort not in _UNTHINKING


def _must_call(request: ChatRequest) -> bool:
    choice = request.tool_choice
    return choice is not None and (bool(choice.function_name) or choice.mode is ToolMode.REQUIRED)


def _without_thinking(adapted: Adapted, reasoning: ReasoningConfig, why: str) -> Adapted:
    field = "generation.reasoning." + ("effort" if reasoning.budget_tokens is None else "budget_tokens")
    left = _with_reasoning(adapted.request, _off(reasoning))
    return replace(adapted, request=left, unsupported=(*adapted.unsupported, Unsupported(field, why)))


def _changed(adapted: Adapted, reasoning: ReasoningConfig, change: Change) -> Adapted:
    changed = _with_reasoning(adapted.request, reasoning)
    return replace(adapted, request=changed, changes=(*adapted.changes, change))


def _off(reasoning: ReasoningConfig) -> ReasoningConfig:
    return replace(reasoning, effort=ReasoningEffort.NONE, budget_tokens=None)


def _with_reasoning(request: ChatRequest, reasoning: ReasoningConfig) -> ChatRequest:
    return replace(request, generation=replace(request.generation, reasoning=reasoning))


def _with_possible_budget(adapted: Adapted, reasoning: ReasoningConfig, limit: int) -> Adapted:
    if limit <= SMALLEST_BUDGET:
        return _without_thinking(adapted, reasoning, "the output limit leaves no room for thinking")
    if _continues_without_thinking(adapted.request.messages):
        why = "thinking is off: the turn to go on from began without thinking, or comes from another target"
        return _changed(adapted, _off(reasoning), Change("generation.reasoning", why))
    budget = reasoning.budget_tokens
    possible = None if budget is None else min(max(budget, SMALLEST_BUDGET), limit - 1)
    if possible == budget:
        return adapted
    why = f"this model gets {possible}: {SMALLEST_BUDGET} at least, and less than the output limit"
    change = Change("generation.reasoning.budget_tokens", why)
    return _changed(adapted, replace(reasoning, budget_tokens=possible), change)


def _continues_without_thinking(messages: tuple[Message, ...]) -> bool:
    """Whether the model is to go on from a turn of its own that began without thinking, which the API refuses.

    All calls and results since the user last spoke are one turn of the model. Tokens that other targets made are gone
    by now, and thinking without its token cannot be sent back.
    """
    first: Message | None = None
    user_spoke = has_results = False
    for message in reversed(messages):
        if not message.parts:
            continue  # all of it was left out
        if message.role is Role.USER:
            user_spoke = True
        elif message.role is Role.TOOL:
            has_results = True
        elif message.role is Role.ASSISTANT:
            if user_spoke and not has_results:
                break
            first = message
            user_spoke = has_results = False
    return first is not None and not _begins_with_thinking(first)


def _begins_with_thinking(message: Message) -> bool:
    for part in message.parts:
        if isinstance(part, ReasoningPart):
            if part.continuity_token:
                return True
        elif not (isinstance(part, TextPart) and not part.text.strip()):
            return False
    return False


def _budget(reasoning: ReasoningConfig, limit: int) -> int:
    """The budget, which has to leave room for the answer; of an effort and a budget, what allows less."""
    by_effort = BUDGETS.get(reasoning.effort)
    if reasoning.budget_tokens is None:
        return max(SMALLEST_BUDGET, min(by_effort or SMALLEST_BUDGET, limit // 2))
    return reasoning.budget_tokens if by_effort is None else min(by_effort, reasoning.budget_tokens)


def _adaptive(reasoning: ReasoningConfig, generation: Generation) -> dict[str, Any]:
    thinking = {"type": "adaptive"}
    # The newest models leave the text out unless it is asked for.
    if generation.thinking is Thinking.ADAPTIVE and reasoning.include is not False:
        thinking["display"] = "summarized"
    return thinking


def _effort(effort: ReasoningEffort, generation: Generation) -> str:
    # The step between came with the generation that thinks adaptively alone.
    if effort is ReasoningEffort.XHIGH and generation.thinking is not Thinking.ADAPTIVE:
        return EFFORTS[ReasoningEffort.HIGH]
    return EFFORTS[effort]
