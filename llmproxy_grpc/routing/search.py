"""The search for targets that can honour a request; it knows why, if there are none."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic

from llmproxy_grpc.errors import (
    CapabilityNotSupported,
    FieldViolation,
    InvalidRequest,
    NoProviderAvailable,
    ProxyError,
    UnsupportedParameter,
    name_fields,
)
from llmproxy_grpc.messages import ChatRequest, EmbedRequest
from llmproxy_grpc.providers.provider import Provider, Unsupported
from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.candidate import Candidate, Group
from llmproxy_grpc.routing.catalog import Route, Target
from llmproxy_grpc.routing.conditions import meets
from llmproxy_grpc.routing.defaults import with_defaults
from llmproxy_grpc.routing.operations import Answer, Request

MOST_VIOLATIONS: Final = 50


class Search(Generic[Request, Answer]):
    """Looks through one route after the other; a target that was found is not found again.

    Args:
        asked: What is asked.
        providers: Every provider by name.

    Raises:
        InvalidRequest: `routing.providers` names an unknown provider.
    """

    __slots__ = ("_asked", "_providers", "_refused", "_seen", "_unmet", "_wanted")

    def __init__(self, asked: Asked[Request, Answer], providers: Mapping[str, Provider]) -> None:
        self._asked = asked
        self._providers = providers
        self._wanted = _wanted_providers(asked.request, providers)
        self._seen: set[Target] = set()
        self._unmet = False
        self._refused: Sequence[Unsupported] = ()

    def among(self, route: Route) -> Group[Request]:
        """The targets of a route that can honour the request, in the order written."""
        asked = self._asked
        shaped = with_defaults(asked.request, route.defaults)
        found = []
        for target in route.targets:
            provider = self._providers.get(target.provider)
            if provider is None or target in self._seen or (self._wanted and target.provider not in self._wanted):
                continue
            condition = route.conditions.get(target)
            if condition is not None and not meets(asked, condition):
                self._unmet = True
                continue
            self._seen.add(target)
            candidate = self._fitted(shaped, target, provider)
            if candidate is not None:
                found.append(candidate)
        return Group(route, found)

    def failure(self) -> ProxyError:
        """Why nothing was found."""
        request = self._asked.request
        if self._refused:
            return _unsupported(self._refused)
        if self._seen:
            return _incapable(self._asked)
        if self._unmet:
            return InvalidRequest(
                "No target of the model is there for such a call: each has a condition that it does not meet, on its "
                "labels, the length of its prompt or what it needs.",
                metadata={"model": request.model[:128]},
            )
        if not self._wanted:
            return NoProviderAvailable("No provider of the model's targets is there.")
        return InvalidRequest(
            "No target is left by routing.providers.",
            violations=[FieldViolation("routing.providers", "Name a provider that serves the model, or none.")],
        )

    def _fitted(self, shaped: Request, target: Target, provider: Provider) -> Candidate[Request] | None:
        """The request as the target can honour it; None if it cannot."""
        operation = self._asked.operation
        if not operation.offered(provider.features(target.upstream_model)):
            return None
        fitted = operation.fit(shaped, provider, target)
        if fitted.unsupported and _refused(fitted.unsupported, shaped):
            self._refused = self._refused or fitted.unsupported
            return None
        return Candidate(target, provider, fitted.request, fitted.warnings)


def _wanted_providers(request: ChatRequest | EmbedRequest, providers: Mapping[str, Provider]) -> frozenset[str]:
    if not request.routing.providers:  # nearly always
        return frozenset()
    unknown = [index for index, name in enumerate(request.routing.providers) if name not in providers]
    if unknown:
        raise InvalidRequest(
            "routing.providers names a provider that is not configured.",
            violations=[FieldViolation(f"routing.providers[{index}]", "No such provider.") for index in unknown],
        )
    return frozenset(request.routing.providers)


def _refused(unsupported: Sequence[Unsupported], request: ChatRequest | EmbedRequest) -> bool:
    """Whether the target is out of the question: the caller does not let the fields be dropped, or nobody could."""
    return not request.routing.drop_unsupported or any(each.essential for each in unsupported)


def _incapable(asked: Asked[Any, Any]) -> CapabilityNotSupported:
    capability = asked.operation.capability.name
    return CapabilityNotSupported(
        f"No target of the model {asked.operation.deed}; ask a model that has CAPABILITY_{capability} in ListModels.",
        metadata={"model": asked.request.model[:128], "capability": capability},
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
