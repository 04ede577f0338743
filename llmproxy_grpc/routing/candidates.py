"""What may answer a request: the targets of its route and fallbacks, less those that the request rules out."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Generic

from msgspec import Struct

from llmproxy_grpc.errors import (
    CapabilityNotSupported,
    FieldViolation,
    InvalidRequest,
    NoProviderAvailable,
    UnsupportedParameter,
    name_fields,
)
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, Warning
from llmproxy_grpc.providers.provider import Provider, Unsupported
from llmproxy_grpc.routing.catalog import Route, Target
from llmproxy_grpc.routing.defaults import with_defaults
from llmproxy_grpc.routing.operations import Answer, Operation, Request
from llmproxy_grpc.routing.strategies import STRATEGIES

MOST_VIOLATIONS: Final = 50


class Candidate(Struct, Generic[Request], frozen=True):
    """A target that may be tried, the request as it gets it, and what the caller has to know of the difference."""

    target: Target
    provider: Provider
    request: Request
    warnings: Sequence[Warning] = ()


def everything(_target: Target) -> bool:
    """Says of every target that it may be tried."""
    return True


class Chooser:
    """Lists what may answer a request, in the order to try.

    Args:
        look_up: Gives a model's route.
        providers: Every provider by name.
        kinds: Every kind of provider that this version knows.
    """

    def __init__(
        self,
        look_up: Callable[[str], Route],
        providers: Mapping[str, Provider],
        kinds: AbstractSet[str],
    ) -> None:
        self._look_up = look_up
        self._providers = providers
        self._kinds = kinds

    def candidates(
        self,
        operation: Operation[Request, Answer],
        request: Request,
        available: Callable[[Target], bool] = everything,
    ) -> list[Candidate[Request]]:
        """Lists the candidates for a request.

        Args:
            operation: What kind of request it is.
            request: What is asked.
            available: Whether a target may be tried now; asking changes nothing. Those that may not are left out, but
                if there is no other, all are listed: whether to try one all the same is the caller's decision.

        Raises:
            ModelNotFound: The model, or a fallback model of the request, does not exist.
            InvalidRequest: `provider_options` names an unknown kind; or `routing.providers` an unknown provider, or
                leaves no target.
            NoProviderAvailable: None of the targets' providers exists: discovery has not found them.
            UnsupportedParameter: Every target lacks something that the request asks for; names the first one's fields.
            CapabilityNotSupported: No target does such a thing at all.
        """
        _check_kinds(request, self._kinds)
        able = self._able(operation, request)
        if len(able) == 1:  # nearly always
            return able
        return [candidate for candidate in able if available(candidate.target)] or able

    def _able(self, operation: Operation[Request, Answer], request: Request) -> list[Candidate[Request]]:
        """All that can honour the request, each target once."""
        wanted = _wanted_providers(request, self._providers)
        found: list[Candidate[Request]] = []
        seen: set[Target] = set()
        refused: Sequence[Unsupported] = ()
        for route in _routes(request, self._look_up):
            shaped = with_defaults(request, route.defaults)
            for target in STRATEGIES[route.strategy](route.targets):
                provider = self._providers.get(target.provider)
                if provider is None or target in seen or (wanted and target.provider not in wanted):
                    continue
                seen.add(target)
                if not operation.offered(provider.features(target.upstream_model)):
                    continue
                fitted = operation.fit(shaped, provider, target)
                if fitted.unsupported and _refused(fitted.unsupported, request):
                    refused = refused or fitted.unsupported
                    continue
                found.append(Candidate(target, provider, fitted.request, fitted.warnings))
        if found:
            return found
        if refused:
            raise _unsupported(refused)
        if seen:
            raise _incapable(operation, request)
        if not wanted:
            raise NoProviderAvailable("No provider of the model's targets is there.")
        raise InvalidRequest(
            "No target is left by routing.providers.",
            violations=[FieldViolation("routing.providers", "Name a provider that serves the model, or none.")],
        )


def _check_kinds(request: ChatRequest | EmbedRequest, kinds: AbstractSet[str]) -> None:
    unknown = [kind for kind in request.provider_options if kind not in kinds]
    if unknown:
        known = ", ".join(sorted(kinds))
        raise InvalidRequest(
            "provider_options names a kind of provider that this version does not know.",
            violations=[FieldViolation(f'provider_options["{kind}"]', f"The kinds are {known}.") for kind in unknown],
        )


def _wanted_providers(request: ChatRequest | EmbedRequest, providers: Mapping[str, Provider]) -> frozenset[str]:
    unknown = [index for index, name in enumerate(request.routing.providers) if name not in providers]
    if unknown:
        raise InvalidRequest(
            "routing.providers names a provider that is not configured.",
            violations=[FieldViolation(f"routing.providers[{index}]", "No such provider.") for index in unknown],
        )
    return frozenset(request.routing.providers)


def _routes(request: ChatRequest | EmbedRequest, look_up: Callable[[str], Route]) -> list[Route]:
    """The route of the model, then those of its fallbacks: the caller's own if named, else the configured ones."""
    first = look_up(request.model)
    names = request.routing.fallback_models or first.fallback_models
    return [first, *(look_up(name) for name in names)]


def _refused(unsupported: Sequence[Unsupported], request: ChatRequest | EmbedRequest) -> bool:
    """Whether the target is out of the question: the caller does not let the fields be dropped, or nobody could."""
    return not request.routing.drop_unsupported or any(each.essential for each in unsupported)


def _incapable(operation: Operation[Request, Answer], request: ChatRequest | EmbedRequest) -> CapabilityNotSupported:
    capability = operation.capability.name
    return CapabilityNotSupported(
        f"No target of the model {operation.deed}; ask a model that has CAPABILITY_{capability} in ListModels.",
        metadata={"model": request.model[:128], "capability": capability},
    )


def _unsupported(refused: Sequence[Unsupported]) -> UnsupportedParameter:
    # A request may hold thousands of pictures, each a field of its own.
    fields = name_fields([each.field for each in refused])
    instead = "" if any(each.essential for each in refused) else ", or set routing.unsupported_params to DROP"
    return UnsupportedParameter(
        f"No target of the model supports {fields}; leave it out{instead}.",
        violations=[FieldViolation(each.field, each.message) for each in refused[:MOST_VIOLATIONS]],
        metadata={"fields": fields},
    )
