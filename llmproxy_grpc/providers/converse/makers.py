"""What sets the makers' models apart, by the ids of the models: rows of data, each model's the first that fits."""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.messages import MediaKind, ReasoningEffort
from llmproxy_grpc.providers.schema_forms import OBJECT_SCHEMA, SINGLE_SCHEMA, SchemaForm

NAMES: Final = ("bedrock",)
"""Whose options, tools and opaque parts are meant for Bedrock."""

Fields = dict[str, Any]
"""What Converse hands on to the model as it is: `additionalModelRequestFields`."""


class Demand(Enum):
    """What a model can be told of tools beyond that it may call them."""

    NOTHING = "nothing"
    ANY = "any"
    """That it must call one."""
    NAMED = "named"
    """That, or which."""


class Maker(Struct, frozen=True, kw_only=True):
    """What a line of models can do, and how it is told through Converse; the defaults are for makers nobody knows."""

    claude: bool = False
    """Whether it is Claude, whose generations have rows of their own."""
    media: frozenset[MediaKind] = frozenset(MediaKind)
    """What it may be shown; what is not known to be refused is there."""
    tools: bool = True
    function_schemas: SchemaForm = OBJECT_SCHEMA
    demand: Demand = Demand.NAMED
    parallel: bool = False
    """Whether it can be told to make one call at a time."""
    json_schema: bool = True
    """Whether it is bound to schemas, of answers and of strict tools."""
    result_status: bool = False
    """Whether it is told that a tool failed or not; the others refuse the field."""
    cache_points: bool = False
    long_cache: bool = False
    """Whether it keeps what it cached for an hour, if it is told so."""
    top_k: Callable[[int], Fields] | None = None
    effort: Callable[[str], Fields] | None = None
    efforts: Mapping[ReasoningEffort, str] = {}
    """Its words for how much to think; none for NONE where nothing is to be said, as it does not think unasked."""
    always_thinks: bool = False


@lru_cache(maxsize=1024)  # callers choose the names
def maker_of(model: str) -> Maker:
    """The row of a model: by its id, or that of its inference profile, or its ARN."""
    return next((maker for pattern, maker in _BY_ID if pattern.search(model)), _ANYBODY)


def base_id(model: str) -> str:
    """The id of the model that a profile across regions leads to, where the profile's own id tells."""
    found = _WITHIN_A_PROFILE.search(model)
    return found[1] if found else model


def _top_k(value: int) -> Fields:
    return {"top_k": value}


def _reasoning_effort(word: str) -> Fields:
    return {"reasoning_effort": word}


_LOW_TO_HIGH: Final[Mapping[ReasoningEffort, str]] = {
    ReasoningEffort.MINIMAL: "low",
    ReasoningEffort.LOW: "low",
    ReasoningEffort.MEDIUM: "medium",
    ReasoningEffort.HIGH: "high",
    ReasoningEffort.XHIGH: "high",
    ReasoningEffort.MAX: "high",
}
_NONE_TO_XHIGH: Final = {
    **_LOW_TO_HIGH,
    ReasoningEffort.NONE: "none",
    ReasoningEffort.XHIGH: "xhigh",
    ReasoningEffort.MAX: "xhigh",
}

_STILL: Final = frozenset({MediaKind.IMAGE, MediaKind.DOCUMENT})
"""What neither sounds nor moves."""

# Sources: AWS's "Supported foundation models", "Supported models and model features", "Structured outputs" and "Prompt
# caching", ToolChoice in the API reference, the guides of Nova 1 and 2, and what gateways that ask the real models had
# to learn of each line.
_PROFILE: Final = Maker(
    claude=True, result_status=True, parallel=True, cache_points=True, long_cache=True, top_k=_top_k
)
_CLAUDE: Final = replace(_PROFILE, media=_STILL, function_schemas=SINGLE_SCHEMA)
_NEWER_CLAUDE: Final = replace(_CLAUDE, json_schema=False)
_OLD_CLAUDE: Final = replace(_NEWER_CLAUDE, parallel=False, long_cache=False)
_NOVA: Final = Maker(
    media=_STILL | {MediaKind.VIDEO},
    json_schema=False,
    result_status=True,
    cache_points=True,
    top_k=lambda value: {"inferenceConfig": {"topK": value}},
)
_NOVA_MICRO: Final = replace(_NOVA, media=frozenset())
_NOVA_TWO: Final = Maker(
    json_schema=False,
    result_status=True,
    cache_points=True,
    top_k=lambda value: {"inferenceConfig": {"topK": value}},
    effort=lambda word: {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": word}},
    efforts=_LOW_TO_HIGH,
)
_GPT: Final = Maker(effort=lambda word: {"reasoning": {"effort": word}}, efforts=_NONE_TO_XHIGH)
_THINKER: Final = Maker(effort=_reasoning_effort, efforts=_LOW_TO_HIGH, always_thinks=True)
_GLM: Final = Maker(demand=Demand.ANY, effort=_reasoning_effort, efforts=_LOW_TO_HIGH, always_thinks=True)
_DEEPSEEK: Final = Maker(media=_STILL, demand=Demand.ANY, effort=_reasoning_effort, efforts=_LOW_TO_HIGH)
_WITHOUT_TOOLS: Final = Maker(media=_STILL, tools=False, json_schema=False)
_OLD_MISTRAL: Final = Maker(media=_STILL, demand=Demand.ANY, json_schema=False)
_FREE: Final = Maker(media=_STILL, demand=Demand.NOTHING, json_schema=False)
_COHERE: Final = replace(_FREE, top_k=lambda value: {"k": value})
_ANYBODY: Final = Maker()

_BY_ID: Final = tuple(
    (re.compile(pattern), maker)
    for pattern, maker in (
        (r"anthropic\.claude-[a-z]+-4-[56](?!\d)", _CLAUDE),
        (r"anthropic\.claude-(?:v\d|instant|3|(?:opus|sonnet)-4-(?:1-|2\d))", _OLD_CLAUDE),
        (r"anthropic\.claude", _NEWER_CLAUDE),
        (r"amazon\.nova-2", _NOVA_TWO),
        (r"amazon\.nova-micro", _NOVA_MICRO),
        (r"amazon\.nova", _NOVA),
        (r"amazon\.titan|deepseek\.r1|mistral\.(?:mistral-7b|mixtral)", _WITHOUT_TOOLS),
        (r"openai\.gpt-oss|moonshot", _THINKER),
        (r"openai\.", _GPT),
        (r"deepseek\.", _DEEPSEEK),
        (r"zai\.glm", _GLM),
        (r"mistral\.(?:mistral-(?:large|small)-24|pixtral)", _OLD_MISTRAL),
        (r"meta\.llama|ai21\.", _FREE),
        (r"cohere\.command", _COHERE),
        # These tell no maker. Most of them lead to Claude, and what another model does not know, it refuses.
        (r":(?:application-inference-profile|provisioned-model)/", _PROFILE),
    )
)
# `eu.anthropic.claude-…`, `global.…`, `us-gov.…`, and the same behind the rest of an ARN.
_WITHIN_A_PROFILE: Final = re.compile(r"(?s)(?:^|/)(?:[a-z]{2,6}(?:-[a-z]+)?\.)([a-z0-9]+\..+)")
