"""The models that callers use: what the section `models` says of each."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from llmproxy_grpc.config.section import Number, Section, Text, Whole
from llmproxy_grpc.config.upstreams import ProviderName

ModelId = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f\x7f]+$", max_length=256)]


class Condition(Section):
    """When a target serves."""

    labels: Annotated[Mapping[str, str], Field(description="Labels that the call must have.")] = {}


class TargetConfig(Section):
    """A provider and one of its models."""

    provider: Annotated[ProviderName, Field(description="Name of the provider.")]
    model: Annotated[Text, Field(description="The provider's own name for the model.")]
    weight: Annotated[Whole, Field(ge=1, le=1_000_000, description="Share of the calls, for weighted strategies.")] = 1
    when: Annotated[Condition | None, Field(description="Serve only calls that fit; null: all.")] = None


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
    sticky: Annotated[
        Literal["none", "conversation"], Field(description="Whether a conversation stays with its target.")
    ] = "none"
    on_stream_break: Annotated[
        Literal["error", "continue"], Field(description="What becomes of a stream that a provider breaks off.")
    ] = "error"
    defaults: Annotated[ModelDefaults, Field(description="Settings for calls that leave them unset.")] = ModelDefaults()
