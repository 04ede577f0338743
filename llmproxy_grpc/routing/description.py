"""What a model can do and how much it takes: what its targets' kinds and their lists of models tell, put together."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeVar

from msgspec import Struct

from llmproxy_grpc.messages import Capability, Modality
from llmproxy_grpc.providers.provider import Provider, UpstreamModel
from llmproxy_grpc.routing.catalog import Route, Target

T = TypeVar("T")


class Description(Struct, frozen=True):
    """What callers can expect of a model; limits in tokens, 0 if not known."""

    capabilities: frozenset[Capability] = frozenset()
    input_modalities: frozenset[Modality] = frozenset()
    output_modalities: frozenset[Modality] = frozenset()
    max_input_tokens: int = 0
    max_output_tokens: int = 0


def describe(
    route: Route, providers: Mapping[str, Provider], listed: Callable[[str, str], UpstreamModel | None]
) -> Description:
    """Describes a model by all its targets.

    What any target can do the model can do, since targets that cannot honour a request are passed over, as are those
    that are too small for its prompt: it takes what the largest takes. The length of the answer is no reason to pass
    over a target, so of several limits of that the smallest counts: whichever answers writes that much.

    Args:
        route: The model.
        providers: Every provider by name; targets whose provider is not there say nothing.
        listed: What a provider's list says of an upstream model.
    """
    targets = [
        _describe_target(
            providers[target.provider],
            target,
            listed(target.provider, target.upstream_model),
            route.limits.get(target),
        )
        for target in route.targets
        if target.provider in providers
    ]
    return Description(
        frozenset().union(*(target.capabilities for target in targets)),
        frozenset().union(*(target.input_modalities for target in targets)),
        frozenset().union(*(target.output_modalities for target in targets)),
        max((target.max_input_tokens for target in targets), default=0),
        _smallest(target.max_output_tokens for target in targets),
    )


def _describe_target(
    provider: Provider, target: Target, listed: UpstreamModel | None, limit: int | None
) -> Description:
    """What the kind can carry, less what the list denies; `limit` is what is configured."""
    features = provider.features(target.upstream_model)
    listed = listed or UpstreamModel(target.upstream_model)
    return Description(
        _less(features.capabilities(), listed.capabilities),
        _less(features.input_modalities(), listed.input_modalities),
        _less(features.output_modalities, listed.output_modalities),
        listed.max_input_tokens if limit is None else limit,
        listed.max_output_tokens,
    )


def _less(carried: AbstractSet[T], not_denied: AbstractSet[T] | None) -> frozenset[T]:
    return frozenset(carried if not_denied is None else carried & not_denied)


def _smallest(limits: Iterable[int]) -> int:
    return min((limit for limit in limits if limit > 0), default=0)
