"""The models that callers use: what the section `models` says of each."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from llmproxy_grpc.config.section import Number, Section, Text, Whole
from llmproxy_grpc.config.upstreams import ProviderName

ModelId = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f\x7f]+$", max_length=256)]


MOST_TOKENS: Final = 2**31 - 1

Need = Literal["tools", "json_schema", "reasoning", "vision", "audio", "video", "documents"]
"""What a call can need of a model besides text."""


class Condition(Section):
    """When a target serves: the call must meet all that is set."""

    labels: Annotated[Mapping[str, str], Field(description="Labels that the call must have, with these values.")] = {}
    min_prompt_tokens: Annotated[
        Whole | None, Field(ge=1, le=MOST_TOKENS, description="Fewest tokens of the prompt, by an estimate.")
    ] = None
    max_prompt_tokens: Annotated[
        Whole | None, Field(ge=1, le=MOST_TOKENS, description="Most tokens of the prompt, by an estimate.")
    ] = None
    capabilities: Annotated[
        tuple[Need, ...], Field(description="What the call must need of a model, each of them.")
    ] = ()

    @model_validator(mode="after")
    def _check_tokens(self) -> Self:
        least, most = self.min_prompt_tokens, self.max_prompt_tokens
        if least is not None and most is not None and least > most:
            raise ValueError("no prompt has at least min_prompt_tokens and at most max_prompt_tokens")
        return self


class TargetConfig(Section):
    """A provider and one of its models."""

    provider: Annotated[ProviderName, Field(description="Name of the provider.")]
    model: Annotated[Text, Field(description="The provider's own name for the model.")]
    weight: Annotated[
        Whole, Field(ge=1, le=1_000_000, description="Share of the calls, beside the other targets' weights.")
    ] = 1
    when: Annotated[Condition | None, Field(description="Serve only calls that fit; null: all.")] = None
    max_input_tokens: Annotated[
        Whole | None,
        Field(ge=1, le=MOST_TOKENS, description="Most tokens that it takes; null: as the provider's list says."),
    ] = None


class Fallbacks(Section):
    """Models to try for a cause that every target of the model would meet alike."""

    context_length: Annotated[
        tuple[ModelId, ...], Field(description="Models to try, in this order, when the prompt is too long.")
    ] = ()
    prompt_blocked: Annotated[
        tuple[ModelId, ...], Field(description="Models to try when the provider's policy blocks the prompt.")
    ] = ()


class ModelDefaults(Section):
    """Generation settings for calls that leave them unset; null leaves them to the provider."""

    max_output_tokens: Annotated[Whole | None, Field(ge=1, le=2**31 - 1, description="Most tokens to generate.")] = None
    temperature: Annotated[Number | None, Field(ge=0, le=2, description="Sampling temperature.")] = None
    top_p: Annotated[Number | None, Field(ge=0, le=1, description="Nucleus sampling.")] = None
    top_k: Annotated[Whole | None, Field(ge=1, le=2**31 - 1, description="Sample among this many tokens.")] = None
    seed: Annotated[Whole | None, Field(ge=-(2**63), le=2**63 - 1, description="Best-effort determinism.")] = None
    presence_penalty: Annotated[
        Number | None, Field(ge=-2, le=2, description="Penalty for tokens that are already there.")
    ] = None
    frequency_penalty: Annotated[
        Number | None, Field(ge=-2, le=2, description="Penalty that grows with each repetition.")
    ] = None
    candidate_count: Annotated[Whole | None, Field(ge=1, le=128, description="How many candidates to generate.")] = None
    top_logprobs: Annotated[
        Whole | None, Field(ge=0, le=20, description="Log probabilities of this many alternatives a position.")
    ] = None

    def settings(self) -> dict[str, int | float]:
        """The settings that are set, by their names in GenerationConfig."""
        values = ((name, getattr(self, name)) for name in self.__class__.model_fields)
        return {name: value for name, value in values if value is not None}


class ModelConfig(Section):
    """One model and what stands behind it."""

    id: Annotated[ModelId, Field(description="The name that callers use.")]
    strategy: Annotated[
        Literal["priority", "weighted", "round_robin", "least_latency", "least_in_flight", "lowest_cost"],
        Field(description="How targets are ordered; `priority` is the order written."),
    ] = "priority"
    targets: Annotated[tuple[TargetConfig, ...], Field(min_length=1, description="What may serve it.")]
    fallback_models: Annotated[
        tuple[ModelId, ...], Field(description="Models to try, in this order, when no target serves.")
    ] = ()
    fallbacks: Annotated[Fallbacks, Field(description="Models to try for a cause that no target helps against.")] = (
        Fallbacks()
    )
    sticky: Annotated[
        Literal["none", "conversation"],
        Field(description="Whether a conversation stays with its target while that is available."),
    ] = "none"
    on_stream_break: Annotated[
        Literal["error", "continue"],
        Field(
            description="What becomes of a stream that a provider breaks off: `continue` has another attempt go on "
            "with a text, where a target can."
        ),
    ] = "error"
    defaults: Annotated[ModelDefaults, Field(description="Settings for calls that leave them unset.")] = ModelDefaults()
