"""What Claude takes of sampling settings and stop sequences, by generation and by what else is asked."""

from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import replace

from llmproxy_grpc.messages import ChatRequest, GenerationConfig
from llmproxy_grpc.providers.anthropic_messages.generations import Generation, Sampling
from llmproxy_grpc.providers.anthropic_messages.thinking import asks_to_think
from llmproxy_grpc.providers.provider import Adapted, Unsupported

_LEAST_THINKING_TOP_P: Final = 0.95


def without_defaults(request: ChatRequest, generation: Generation) -> ChatRequest:
    """Leaves out values that a model has anyway and would rather not be told."""
    config = request.generation
    if generation.sampling is not Sampling.NONE:
        return request
    told = {name: None for name in ("temperature", "top_p") if getattr(config, name) == 1}
    return replace(request, generation=replace(config, **told)) if told else request


def with_possible_sampling(adapted: Adapted, generation: Generation) -> Adapted:
    """Leaves out what a model would answer 400 to."""
    if not generation.claude:
        return adapted
    config = adapted.request.generation
    found = tuple(_impossible(config, generation, thinks=asks_to_think(adapted.request, generation)))
    gone: dict[str, Any] = {name: None for name, _ in found}
    stops = tuple(stop for stop in config.stop_sequences if not stop.isspace())
    if len(stops) < len(config.stop_sequences):
        gone["stop_sequences"] = stops
        found += (("stop_sequences", "this provider takes none of white space alone"),)
    if not gone:
        return adapted
    request = replace(adapted.request, generation=replace(config, **gone))
    named = (Unsupported(f"generation.{name}", why) for name, why in found)
    return replace(adapted, request=request, unsupported=(*adapted.unsupported, *named))


def _impossible(config: GenerationConfig, generation: Generation, *, thinks: bool) -> Iterator[tuple[str, str]]:
    """The fields that cannot be sent, and why."""
    temperature, top_p = config.temperature, config.top_p
    if temperature is not None and thinks and temperature != 1:
        yield "temperature", "this provider takes none where the model thinks"
    if config.top_k is not None and thinks:
        yield "top_k", "this provider takes none where the model thinks"
    if top_p is None:
        return
    if thinks and top_p < _LEAST_THINKING_TOP_P:
        yield "top_p", f"this provider takes {_LEAST_THINKING_TOP_P} at least where the model thinks"
    elif temperature is not None and generation.sampling is Sampling.ONE_OF_TWO:
        yield "top_p", "this model takes a temperature or a top_p, not both"
