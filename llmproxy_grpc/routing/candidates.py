"""What may answer a request: the targets of its route and fallbacks, less those that the request rules out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct, structs

from llmproxy_grpc.config.schema import ModelDefaults
from llmproxy_grpc.errors import FieldViolation, InvalidRequest, NoProviderAvailable, UnsupportedParameter, name_fields
from llmproxy_grpc.messages import ChatRequest, GenerationConfig, Warning
from llmproxy_grpc.providers.provider import Adapted, Provider, Unsupported
from llmproxy_grpc.routing.catalog import Route, Target
from llmproxy_grpc.routing.continuity import opened
from llmproxy_grpc.routing.strategies import STRATEGIES

MOST_VIOLATIONS: Final = 50


class Candidate(Struct, frozen=True):
    """A target that may be tried, the request as it gets it, and what the caller has to know of the difference."""

    target: Target
    provider: Provider
    request: ChatRequest
    warnings: tuple[Warning, ...] = ()


def candidates(
    request: ChatRequest, look_up: Callable[[str], Route], providers: Mapping[str, Provider], kinds: AbstractSet[str]
) -> list[Candidate]:
    """Lists what may answer, in the order to try.

    Args:
        request: What is asked.
        look_up: Gives a model's route.
        providers: Every provider by name.
        kinds: Every kind of provider that this version knows.

    Raises:
        ModelNotFound: The model, or a fallback model of the request, does not exist.
        InvalidRequest: `provider_options` names an unknown kind; or `routing.providers` an unknown provider, or leaves
            no target.
        NoProviderAvailable: None of the targets' providers exists: discovery has not found them.
        UnsupportedParameter: Every target lacks something that the request asks for; names the fields of the first.
    """
    _check_kinds(request, kinds)
    wanted = _wanted_providers(request, providers)
    found: list[Candidate] = []
    seen: set[Target] = set()
    refused: Sequence[Unsupported] = ()
    for route in _routes(request, look_up):
        shaped = _with_defaults(request, route.defaults)
        for target in STRATEGIES[route.strategy](route.targets):
            provider = providers.get(target.provider)
            if provider is None or target in seen or (wanted and target.provider not in wanted):
                continue
            seen.add(target)
            own = opened(shaped, target)
            adapted = provider.adapt(own.request, target.upstream_model)
            if adapted.unsupported and not request.routing.drop_unsupported:
                refused = refused or adapted.unsupported
                continue
            found.append(Candidate(target, provider, adapted.request, (*own.warnings(), *_warnings(adapted))))
    if found:
        return found
    if refused:
        raise _unsupported(refused)
    if not wanted:
        raise NoProviderAvailable("No provider of the model's targets is there.")
    raise InvalidRequest(
        "No target is left by routing.providers.",
        violations=[FieldViolation("routing.providers", "Name a provider that serves the model, or none.")],
    )


def _check_kinds(request: ChatRequest, kinds: AbstractSet[str]) -> None:
    unknown = [kind for kind in request.provider_options if kind not in kinds]
    if unknown:
        known = ", ".join(sorted(kinds))
        raise InvalidRequest(
            "provider_options names a kind of provider that this version does not know.",
            violations=[FieldViolation(f'provider_options["{kind}"]', f"The kinds are {known}.") for kind in unknown],
        )


def _wanted_providers(request: ChatRequest, providers: Mapping[str, Provider]) -> frozenset[str]:
    unknown = [index for index, name in enumerate(request.routing.providers) if name not in providers]
    if unknown:
        raise InvalidRequest(
            "routing.providers names a provider that is not configured.",
            violations=[FieldViolation(f"routing.providers[{index}]", "No such provider.") for index in unknown],
        )
    return frozenset(request.routing.providers)


def _routes(request: ChatRequest, look_up: Callable[[str], Route]) -> list[Route]:
    """The route of the model, then those of its fallbacks: the caller's own if named, else the configured ones."""
    first = look_up(request.model)
    names = request.routing.fallback_models or first.fallback_models
    return [first, *(look_up(name) for name in names)]


def _warnings(adapted: Adapted) -> Iterator[Warning]:
    for unsupported in adapted.unsupported:
        yield Warning("PARAMETER_DROPPED", unsupported.field, unsupported.message)
    for change in adapted.changes:
        yield Warning("PARAMETER_CHANGED", change.field, change.message)


def _with_defaults(request: ChatRequest, defaults: ModelDefaults | None) -> ChatRequest:
    """Fills unset settings from the route's defaults."""
    if defaults is None:
        return request
    current = request.generation
    unset: dict[str, object] = {
        name: value for name, value in defaults.settings().items() if getattr(current, name) in (None, ())
    }
    if not unset:
        return request
    generation: GenerationConfig = structs.replace(current, **unset)
    return structs.replace(request, generation=generation)


def _unsupported(refused: Sequence[Unsupported]) -> UnsupportedParameter:
    # A request may hold thousands of pictures, each a field of its own.
    fields = name_fields([each.field for each in refused])
    return UnsupportedParameter(
        f"No target of the model supports {fields}; leave it out, or set routing.unsupported_params to DROP.",
        violations=[FieldViolation(each.field, each.message) for each in refused[:MOST_VIOLATIONS]],
        metadata={"fields": fields},
    )
