"""What sets the generations of Claude apart, as rows of data, found by the names of the models."""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

from msgspec import Struct


class Thinking(Enum):
    """How a model is told to think."""

    NONE = "none"
    BUDGET = "budget"
    """`thinking: {type: enabled, budget_tokens}`."""
    EITHER = "either"
    """Adaptive with an effort, or a budget."""
    ADAPTIVE = "adaptive"
    """`thinking: {type: adaptive}` with `output_config.effort` alone."""


class Sampling(Enum):
    """What a model takes of temperature, top_p and top_k."""

    ALL = "all"
    ONE_OF_TWO = "one of two"
    """Temperature or top_p, not both."""
    NONE = "none"
    """Nothing but their default values; it answers 400 to others."""


class Generation(Struct, frozen=True, kw_only=True):
    """What a generation of models can do."""

    most_output: int
    """The output limit that is sent if the caller names none, which the API demands: the model's own."""
    thinking: Thinking
    thinks_unasked: bool = False
    """Whether it thinks unless it is told not to."""
    off: str | None = "disabled"
    """The type of `thinking` that tells it not to; None if nothing does."""
    sampling: Sampling = Sampling.NONE
    json_schema: bool = True
    """Whether it is bound to schemas, of answers and of strict tools."""
    forced_tools: bool = True
    """Whether it can be told that it must call a tool."""
    later_instructions: bool = False
    """Whether instructions may stand within the conversation, behind a turn of the user."""
    prefill: bool = False
    """Whether it goes on with an answer that has begun."""
    claude: bool = True
    """Whether it is Claude at all, whose API has limits of its own."""


# Sources, all of Anthropic's documentation: the table of "Troubleshooting thinking" (what thinks, unasked or not, and
# what turns it off), the models' pages (output limits), the migration guides of Claude 4.6, 4.7, 5 and 5.5 and of
# Fable 5.1 (sampling, forced tools, answers that have begun), "Structured outputs", and "Mid-conversation system
# messages".
_THREE = Generation(most_output=4096, thinking=Thinking.NONE, sampling=Sampling.ALL, json_schema=False, prefill=True)
_THREE_FIVE = Generation(
    most_output=8192, thinking=Thinking.NONE, sampling=Sampling.ALL, json_schema=False, prefill=True
)
_THREE_SEVEN = Generation(
    most_output=64_000, thinking=Thinking.BUDGET, sampling=Sampling.ALL, json_schema=False, prefill=True
)
_OPUS_FOUR = Generation(
    most_output=32_000, thinking=Thinking.BUDGET, sampling=Sampling.ALL, json_schema=False, prefill=True
)
_OPUS_FOUR_ONE = Generation(
    most_output=32_000, thinking=Thinking.BUDGET, sampling=Sampling.ONE_OF_TWO, json_schema=False, prefill=True
)
_FOUR_FIVE = Generation(most_output=64_000, thinking=Thinking.BUDGET, sampling=Sampling.ONE_OF_TWO, prefill=True)
_SONNET_FOUR_SIX = Generation(most_output=64_000, thinking=Thinking.EITHER, sampling=Sampling.ONE_OF_TWO)
_OPUS_FOUR_SIX = Generation(most_output=128_000, thinking=Thinking.EITHER, sampling=Sampling.ONE_OF_TWO)
_FOUR_SEVEN = Generation(most_output=128_000, thinking=Thinking.ADAPTIVE)
_FOUR_EIGHT = Generation(most_output=128_000, thinking=Thinking.ADAPTIVE, later_instructions=True)
_SONNET_FIVE = Generation(most_output=128_000, thinking=Thinking.ADAPTIVE, thinks_unasked=True)
_FIVE = Generation(most_output=128_000, thinking=Thinking.ADAPTIVE, thinks_unasked=True, later_instructions=True)
_SONNET_FIVE_FIVE = Generation(
    most_output=128_000,
    thinking=Thinking.ADAPTIVE,
    thinks_unasked=True,
    off="between_tools",
    forced_tools=False,
    later_instructions=True,
)
_ALWAYS = Generation(
    most_output=128_000, thinking=Thinking.ADAPTIVE, thinks_unasked=True, off=None, later_instructions=True
)
_ALWAYS_FREE = Generation(
    most_output=128_000,
    thinking=Thinking.ADAPTIVE,
    thinks_unasked=True,
    off=None,
    forced_tools=False,
    later_instructions=True,
)
_OTHERS = Generation(
    most_output=8192, thinking=Thinking.BUDGET, thinks_unasked=True, sampling=Sampling.ALL, claude=False
)
"""Whatever else speaks this API: servers of open models, gateways with names of their own. Some think unasked."""

_Version = tuple[int, int]

# By line, from which version on.
_LINES: Final[Mapping[str, Sequence[tuple[_Version, Generation]]]] = {
    "haiku": (((0, 0), _THREE), ((3, 5), _THREE_FIVE), ((4, 0), _FOUR_FIVE), ((5, 0), _FIVE)),
    "sonnet": (
        ((0, 0), _THREE),
        ((3, 5), _THREE_FIVE),
        ((3, 7), _THREE_SEVEN),
        ((4, 5), _FOUR_FIVE),
        ((4, 6), _SONNET_FOUR_SIX),
        ((5, 0), _SONNET_FIVE),
        ((5, 5), _SONNET_FIVE_FIVE),
    ),
    "opus": (
        ((0, 0), _THREE),
        ((4, 0), _OPUS_FOUR),
        ((4, 1), _OPUS_FOUR_ONE),
        ((4, 5), _FOUR_FIVE),
        ((4, 6), _OPUS_FOUR_SIX),
        ((4, 7), _FOUR_SEVEN),
        ((4, 8), _FOUR_EIGHT),
        ((5, 0), _FIVE),
        ((5, 5), _ALWAYS_FREE),
    ),
}
_OTHER_LINES: Final = (((0, 0), _THREE), ((5, 0), _ALWAYS), ((5, 1), _ALWAYS_FREE))
"""Fable and Mythos; and lines to come, which are taken for the newest as long as nothing is known of them."""

# `claude-opus-4-1-20250805`, `anthropic/claude-sonnet-4.5`, `claude-3-7-sonnet-latest`, `claude-mythos-preview`: a
# version has one digit each side, a date has more.
_NAME: Final = re.compile(
    r"claude-(?:(?P<line>[a-z]+)(?:-|$))?(?:(?P<major>\d)(?:[-.](?P<minor>\d))?(?!\d)(?:-(?P<older_line>[a-z]+))?)?"
)
_NEWEST: Final = (9, 9)


@lru_cache(maxsize=1024)  # callers choose the names
def generation_of(model: str) -> Generation:
    """The generation of a model by its name; a model without a version is the newest of its line."""
    name = _NAME.search(model)
    if name is None:
        return _OTHERS
    major, minor = name["major"], name["minor"]
    version = (int(major), int(minor or 0)) if major else _NEWEST
    rows = _LINES.get(name["line"] or name["older_line"] or "", _OTHER_LINES)
    return next(generation for since, generation in reversed(rows) if since <= version)
