"""What OpenAI's own models refuse, by their names; a model that is not known refuses nothing."""

import re
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    MediaKind,
    Modality,
    ReasoningConfig,
    ReasoningEffort,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.chat_completions.speech import speaks
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.openai_efforts import ANY_EFFORT, efforts_of, narrowed
from llmproxy_grpc.providers.provider import Adapted, Change, Unsupported
from llmproxy_grpc.providers.schema_forms import FLAT_SCHEMA

# After the guides on reasoning and on the latest model of OpenAI's documentation, as of 2026: models that think take
# no sampling but what comes anyway. GPT-5.1 and later ones of that generation do while they do not think, and up to
# GPT-5.4 they do not unless asked to. Neither has any of them stop sequences, but for the oldest.
_NAME: Final = re.compile(r"(?:.*/)?(?:ft:)?(?:o(\d)|gpt-(\d+)(?:\.(\d+))?o?)(?:[-:](.*))?")
_OTHERS_THAT_THINK: Final = frozenset({"codex-mini-latest", "computer-use-preview"})
_SAMPLING: Final = frozenset({"temperature", "top_p", "top_logprobs"})
_NEVER: Final = frozenset({"presence_penalty", "frequency_penalty", "logit_bias"})
_USUAL: Final = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
"""What comes anyway."""
_FIRST_TO_SAMPLE: Final = (5, 1)
_LAST_TO_REST: Final = (5, 4)
_FIRST_WITH_BREAKPOINTS: Final = (5, 6)
_FIRST_WITH_UNIONS: Final = (5, 0)
_FIRST_TO_CALL_THOUGHTLESSLY: Final = (5, 4)
_LEAST_OUTPUT: Final = 16
_OF_ONE_LENGTH: Final = "text-embedding-ada-002"
"""The model whose vectors cannot be shortened: it refuses `dimensions`."""
_EFFORT: Final = "generation.reasoning.effort"


class _Model(Struct, frozen=True):
    """What a name says of a model: its number in the o-series, or its version, and the rest."""

    series: int = 0
    version: tuple[int, int] = (0, 0)
    variant: str = ""
    thinks: bool = False
    efforts: frozenset[ReasoningEffort] = ANY_EFFORT
    """How much it can be told to think."""

    def samples(self, effort: ReasoningEffort) -> bool:
        """Whether it takes sampling settings at an effort."""
        if not _FIRST_TO_SAMPLE <= self.version < (6, 0):
            return False
        rests = self.version <= _LAST_TO_REST and not self.variant.startswith(("codex", "pro"))
        return effort in self.efforts and (
            effort is ReasoningEffort.NONE or (effort is ReasoningEffort.UNSPECIFIED and rests)
        )

    def calls_thoughtlessly(self) -> bool:
        """Whether it can call functions by Chat Completions, but only while it does not think."""
        newer = _FIRST_TO_CALL_THOUGHTLESSLY <= self.version < (6, 0)
        return newer and self.thinks and ReasoningEffort.NONE in self.efforts

    def stops(self) -> bool:
        """Whether it takes stop sequences."""
        return self.series == 1 or (self.series == 3 and self.variant.startswith("mini"))


def thinks(model: str) -> bool:
    """Whether a name is that of a model that thinks: only then may its encrypted thinking be asked for."""
    return _known(model).thinks


def adapt_to_model(request: ChatRequest, features: Features, model: str, *, together: bool = True) -> Adapted:
    """Adapts a request to what a model takes of an API; settings at their usual values are left out unsaid.

    Args:
        request: The request.
        features: Those of the API.
        model: The name of the model.
        together: Whether the API has functions and thinking together; of newer models Chat Completions has not.
    """
    known = _known(model)
    if known.thinks:
        config = _without_usual(request.generation)
        request = request if config is request.generation else replace(request, generation=config)
    # First of all, for what else a model takes depends on whether it thinks.
    asked = Adapted(request) if together else _with_thoughtless_functions(request, features, known)
    adapted = adapt(asked.request, features_with(features, model, _effort(asked.request.generation)))
    if asked.request is request:
        return adapted
    unsupported, changes = (*asked.unsupported, *adapted.unsupported), (*asked.changes, *adapted.changes)
    return replace(adapted, unsupported=unsupported, changes=changes)


def _with_thoughtless_functions(request: ChatRequest, features: Features, known: _Model) -> Adapted:
    """Keeps a model from thinking where it has functions: the newer ones refuse both together.

    Those that think unless they are told not to have to be told.
    """
    adapted, effort = Adapted(request), _effort(request.generation)
    if not known.calls_thoughtlessly() or not _has_functions(request, features) or not _can_rest(features):
        return adapted
    if effort is ReasoningEffort.NONE or (effort is ReasoningEffort.UNSPECIFIED and known.version <= _LAST_TO_REST):
        return adapted
    reasoning = replace(request.generation.reasoning or ReasoningConfig(), effort=ReasoningEffort.NONE)
    request = replace(request, generation=replace(request.generation, reasoning=reasoning))
    why = "with functions this model is told not to think: the Responses API alone has both"
    if effort is ReasoningEffort.UNSPECIFIED:
        return replace(adapted, request=request, changes=(Change(_EFFORT, why),))
    return replace(adapted, request=request, unsupported=(Unsupported(_EFFORT, why),))


def _has_functions(request: ChatRequest, features: Features) -> bool:
    """Whether any function is left of a request."""
    names, schemas = features.function_names, features.function_schemas
    return features.tools and any(
        isinstance(tool, FunctionTool) and names.takes(tool.name) and not schemas.objection(tool.parameters_json_schema)
        for tool in request.tools
    )


def _can_rest(features: Features) -> bool:
    return features.reasoning_effort and ReasoningEffort.NONE in features.efforts


def with_possible_limit(adapted: Adapted) -> Adapted:
    """Raises an output limit to the least that the Responses API takes."""
    request, limit = adapted.request, adapted.request.generation.max_output_tokens
    if limit is None or limit >= _LEAST_OUTPUT:
        return adapted
    change = Change("generation.max_output_tokens", f"this provider takes {_LEAST_OUTPUT} at least")
    request = replace(request, generation=replace(request.generation, max_output_tokens=_LEAST_OUTPUT))
    return replace(adapted, request=request, changes=(*adapted.changes, change))


def with_older_schemas(features: Features, model: str) -> Features:
    """The features of the Responses API, where models before GPT-5 alone refuse unions as the schema of a function."""
    known = _known(model)
    older = known.series > 0 or (0, 0) < known.version < _FIRST_WITH_UNIONS
    return replace(features, function_schemas=FLAT_SCHEMA) if older else features


def features_with(features: Features, model: str, effort: ReasoningEffort = ReasoningEffort.UNSPECIFIED) -> Features:
    """The features of an API less what a model refuses at an effort, and with the voice that some have."""
    known = _known(model)
    less: dict[str, Any] = {}
    if features.cache_hints and known.version < _FIRST_WITH_BREAKPOINTS:
        less["cache_hints"] = False
    sound = features.media.get(MediaKind.AUDIO)
    if sound is not None and speaks(model):
        less["output_modalities"] = features.output_modalities | {Modality.AUDIO}
        less["media"] = {**features.media, MediaKind.AUDIO: replace(sound, answers_by_token=True)}
    if features.embed is not None and model.endswith(_OF_ONE_LENGTH):
        less["embed"] = replace(features.embed, dimensions=False)
    if known.thinks:
        less["efforts"] = narrowed(features.efforts, known.efforts)
        less["settings"] = features.settings - _NEVER - (frozenset() if known.samples(effort) else _SAMPLING)
        if not known.stops():
            less["max_stop_sequences"] = 0
        if known.series >= 3:
            less["parallel_tool_calls"] = False
    elif known.version > (0, 0):
        less |= {"reasoning_effort": False, "reasoning_shown": False}
    return replace(features, **less) if less else features


def _effort(config: GenerationConfig) -> ReasoningEffort:
    return ReasoningEffort.UNSPECIFIED if config.reasoning is None else config.reasoning.effort


def _without_usual(config: GenerationConfig) -> GenerationConfig:
    usual = {name: None for name, value in _USUAL.items() if getattr(config, name) == value}
    return replace(config, **usual) if usual else config


@lru_cache(maxsize=1024)  # callers choose the names
def _known(model: str) -> _Model:
    found = _NAME.fullmatch(model)
    if found is None:
        return _Model(thinks=model in _OTHERS_THAT_THINK)
    series, major, minor, variant = found.groups(default="")
    if series:
        return _Model(int(series), variant=variant, thinks=True, efforts=efforts_of(model))
    version = (int(major), int(minor or 0))
    chats = not minor and variant.startswith("chat")
    thinks_too = version >= (5, 0) and not chats
    return _Model(version=version, variant=variant, thinks=thinks_too, efforts=efforts_of(model))
