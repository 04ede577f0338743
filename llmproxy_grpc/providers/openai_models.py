"""What OpenAI's own models refuse, by their names; a model that is not known refuses nothing."""

import re
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.messages import ChatRequest, GenerationConfig, MediaKind, Modality, ReasoningEffort
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.chat_completions.speech import speaks
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.openai_efforts import ANY_EFFORT, efforts_of, narrowed
from llmproxy_grpc.providers.provider import Adapted

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

    def stops(self) -> bool:
        """Whether it takes stop sequences."""
        return self.series == 1 or (self.series == 3 and self.variant.startswith("mini"))


def thinks(model: str) -> bool:
    """Whether a name is that of a model that thinks: only then may its encrypted thinking be asked for."""
    return _known(model).thinks


def adapt_to_model(request: ChatRequest, features: Features, model: str) -> Adapted:
    """Adapts a request to what a model takes of an API; settings at their usual values are left out unsaid."""
    if _known(model).thinks:
        config = _without_usual(request.generation)
        request = request if config is request.generation else replace(request, generation=config)
    return adapt(request, features_with(features, model, _effort(request.generation)))


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
