"""What sets the generations of Gemini apart, by the names of the models."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.messages import ReasoningEffort

MOST_MODELS: Final = 1024
"""Models whose features are kept ready; callers choose their names."""


class Generation(Struct, frozen=True, kw_only=True):
    """What a generation of models can do."""

    least_level: str = ""
    """The lowest `thinkingLevel` that it knows; empty if it takes none."""
    budgets: tuple[int, int] | None = None
    """The smallest and the largest `thinkingBudget`; None if it takes none."""
    can_stop_thinking: bool = True
    sampling: bool = True
    """Whether temperature, topP and topK have an effect; newer models take them and ignore them."""
    penalties: bool = True
    penalties_at_studio: bool = True
    """The same at AI Studio, where more models answer 400 to them."""
    many_candidates: bool = True
    logprobs: bool = True
    json_beside_tools: bool = True
    """Whether an answer can be bound to JSON in a request that has functions or tools of the provider."""
    tools_apart: bool = False
    """Whether functions and tools of the provider exclude each other."""
    media_in_results: bool = True
    signatures: bool = False
    """Whether a call without its thought signature is an error."""
    media_detail: bool = False
    """Whether it can be told how closely to look at a piece of media."""
    mixes_tools: bool = False
    """Whether functions may stand beside tools of the provider, whose calls and results then come as parts."""

    @property
    def thinks(self) -> bool:
        """Whether it can be told how much to think."""
        return bool(self.least_level or self.budgets)


_TWO = Generation(json_beside_tools=False, tools_apart=True, media_in_results=False)
_TWO_FIVE = replace(_TWO, budgets=(1, 24_576), penalties_at_studio=False)
_TWO_FIVE_LITE = replace(_TWO_FIVE, budgets=(512, 24_576))
_TWO_FIVE_PRO = replace(_TWO_FIVE, budgets=(128, 32_768), can_stop_thinking=False)
_THREE = Generation(
    least_level="MINIMAL",
    can_stop_thinking=False,
    penalties=False,
    many_candidates=False,
    signatures=True,
    media_detail=True,
    mixes_tools=True,
)
_THREE_PRO = replace(_THREE, least_level="LOW")
_THREE_FIVE = replace(_THREE, sampling=False, logprobs=False)
_NEWEST = replace(_THREE_FIVE, least_level="LOW")
_OTHERS = Generation(least_level="MINIMAL", budgets=(0, 32_768))
"""Open and tuned models, and whatever else speaks this API: everything is left to it."""

# The first that matches. Sources: Google's guides to thinking, to thought signatures and to Gemini 3, 3.5, 3.8 and 4;
# that penalties, candidates and log probabilities are errors is what the API answers.
_BY_NAME: Final = (
    (re.compile(r"gemini-(?:1\.|2\.0|2\.5-flash-image|pro$)"), _TWO),
    (re.compile(r"gemini-2\.5-flash-lite"), _TWO_FIVE_LITE),
    (re.compile(r"gemini-2\.5-pro"), _TWO_FIVE_PRO),
    (re.compile(r"gemini-2"), _TWO_FIVE),
    (re.compile(r"gemini-3(?:\.1)?-pro"), _THREE_PRO),
    (re.compile(r"gemini-3(?:\.[0-4])?-"), _THREE),
    (re.compile(r"gemini-3\.[56]-"), _THREE_FIVE),
    (re.compile(r"gemini-(?:\d|flash|pro)"), _NEWEST),
)

_BUDGETS: Final[Mapping[ReasoningEffort, int]] = {
    ReasoningEffort.MINIMAL: 512,
    ReasoningEffort.LOW: 1024,
    ReasoningEffort.MEDIUM: 8192,
    ReasoningEffort.HIGH: 24_576,
    ReasoningEffort.XHIGH: 24_576,
    ReasoningEffort.MAX: 32_768,
}
_LEVELS: Final[Mapping[ReasoningEffort, str]] = {
    ReasoningEffort.LOW: "LOW",
    ReasoningEffort.MEDIUM: "MEDIUM",
    ReasoningEffort.HIGH: "HIGH",
    ReasoningEffort.XHIGH: "HIGH",
    ReasoningEffort.MAX: "HIGH",
}


@lru_cache(maxsize=MOST_MODELS)
def generation_of(model: str) -> Generation:
    """The generation of a model by its name."""
    return next((generation for pattern, generation in _BY_NAME if pattern.search(model)), _OTHERS)


def possible_budget(budget: int, generation: Generation) -> int:
    """The nearest number of tokens for thinking that a generation takes; 0 where it can do without."""
    smallest, largest = generation.budgets or (0, 0)
    if budget <= 0 and generation.can_stop_thinking:
        return 0
    return min(max(budget, smallest), largest)


def budget_within(effort: ReasoningEffort, budget: int, generation: Generation) -> int:
    """A budget that a generation takes, or less if an effort that is asked for as well comes to less."""
    if effort is ReasoningEffort.UNSPECIFIED:
        return budget
    return min(budget, possible_budget(_BUDGETS.get(effort, 0), generation))


def thinking_by_effort(effort: ReasoningEffort, generation: Generation) -> dict[str, str | int]:
    """How a generation is told an effort: by a level, or by a number of tokens."""
    if effort is ReasoningEffort.NONE:
        return {"thinkingBudget": 0}
    if generation.least_level:
        return {"thinkingLevel": _LEVELS.get(effort, generation.least_level)}
    return {"thinkingBudget": possible_budget(_BUDGETS[effort], generation)}
