"""How much OpenAI's own models can be told to think, by their names; of a model that is not known nothing is held."""

import re
from typing import Final

from llmproxy_grpc.messages import ReasoningEffort

ANY_EFFORT: Final = frozenset(ReasoningEffort)
_LOW_TO_HIGH: Final = (ReasoningEffort.LOW, ReasoningEffort.MEDIUM, ReasoningEffort.HIGH)
_LOW_TO_XHIGH: Final = (*_LOW_TO_HIGH, ReasoningEffort.XHIGH)

# A model has the first that fits. After OpenAI's reference of the setting, its models' own pages, and what the API says
# when it refuses a value, as of 2026.
_EFFORTS: Final = tuple(
    (re.compile(rf"(?:.*/)?(?:ft:)?{name}(?:[-:].*)?"), frozenset({ReasoningEffort.UNSPECIFIED, *efforts}))
    for name, efforts in (
        (r"gpt-5(?:\.\d)?-(?:chat|search)", ANY_EFFORT),
        (r"gpt-5-pro", (ReasoningEffort.HIGH,)),
        (r"gpt-5\.[2-5]-pro", (ReasoningEffort.MEDIUM, ReasoningEffort.HIGH, ReasoningEffort.XHIGH)),
        (r"gpt-5\.(?:1-codex-max|[23]-codex)", _LOW_TO_XHIGH),
        (r"(?:o[134]|gpt-5(?:\.1)?-codex)", _LOW_TO_HIGH),
        (r"gpt-5", (ReasoningEffort.MINIMAL, *_LOW_TO_HIGH)),
        (r"gpt-5\.1", (ReasoningEffort.NONE, *_LOW_TO_HIGH)),
        (r"gpt-5\.[2-5]", (ReasoningEffort.NONE, *_LOW_TO_XHIGH)),
        (r"gpt-5\.6", (ReasoningEffort.NONE, *_LOW_TO_XHIGH, ReasoningEffort.MAX)),
    )
)


def efforts_of(model: str) -> frozenset[ReasoningEffort]:
    """The efforts that a model knows."""
    return next((efforts for name, efforts in _EFFORTS if name.fullmatch(model)), ANY_EFFORT)


def narrowed(known: frozenset[ReasoningEffort], efforts: frozenset[ReasoningEffort]) -> frozenset[ReasoningEffort]:
    """Those of the efforts that an API knows; the model's own where a configuration leaves it none to think with."""
    both = known & efforts
    return both if any(effort > ReasoningEffort.NONE for effort in both) else efforts
