"""What may answer a request: the targets of its route and fallbacks, less those that the request rules out."""

from collections.abc import Callable, Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final

from llmproxy_grpc.aside import aside
from llmproxy_grpc.config.schema import Fallbacks
from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    FieldViolation,
    InvalidRequest,
    PromptBlocked,
    ProxyError,
)
from llmproxy_grpc.messages import ChatRequest, EmbedRequest
from llmproxy_grpc.providers.provider import Provider
from llmproxy_grpc.providers.writing import is_long
from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.candidate import Candidate, Choice, Group, only
from llmproxy_grpc.routing.catalog import Route, Target
from llmproxy_grpc.routing.operations import Answer, Operation, Request
from llmproxy_grpc.routing.ordering import Ordering
from llmproxy_grpc.routing.room import Listed, with_room
from llmproxy_grpc.routing.search import Search

CAUSES: Final[Mapping[type[ProxyError], Callable[[Fallbacks], Sequence[str]]]] = {
    ContextLengthExceeded: lambda fallbacks: fallbacks.context_length,
    PromptBlocked: lambda fallbacks: fallbacks.prompt_blocked,
}
"""Errors that every target of a model would answer alike, and the models that a route names for them."""


def everything(_target: Target) -> bool:
    """Says of every target that it may be tried."""
    return True


class Chooser:
    """Lists what may answer a request, in the order to try.

    Args:
        look_up: Gives a model's route.
        providers: Every provider by name.
        kinds: Every kind of provider that this version knows.
        listed: What a provider's list says of an upstream model.
        ordering: Puts the candidates of one route in order.
    """

    def __init__(
        self,
        look_up: Callable[[str], Route],
        providers: Mapping[str, Provider],
        kinds: AbstractSet[str],
        *,
        listed: Listed,
        ordering: Ordering,
    ) -> None:
        self._look_up = look_up
        self._providers = providers
        self._kinds = kinds
        self._listed = listed
        self._ordering = ordering

    async def choose(
        self,
        operation: Operation[Request, Answer],
        request: Request,
        available: Callable[[Target], bool] = everything,
    ) -> Choice[Request]:
        """Lists the candidates for a request; what a long one becomes at each of them is found beside the event loop.

        Args:
            operation: What kind of request it is.
            request: What is asked.
            available: Whether a target may be tried now; asking changes nothing. Those that may not come last, in the
                order written: whether to try one all the same is the caller's decision.

        Raises:
            ModelNotFound: The model, or a fallback model of the request, does not exist.
            InvalidRequest: `provider_options` names an unknown kind; or `routing.providers` an unknown provider, or
                leaves no target; or the call meets no target's condition.
            NoProviderAvailable: None of the targets' providers exists: discovery has not found them.
            UnsupportedParameter: Every target lacks something that the request asks for; names the first one's fields.
            CapabilityNotSupported: No target does such a thing at all.
        """
        _check_kinds(request, self._kinds)
        asked = Asked(operation, request)
        routes = _routes(request, self._look_up)
        candidates = self._ordered(await self._able(asked, routes), asked, available)
        return Choice(candidates, partial(self._instead, asked, available), routes)

    async def _instead(
        self,
        asked: Asked[Request, Answer],
        available: Callable[[Target], bool],
        error: ProxyError,
        tried: Container[Target],
    ) -> Sequence[Candidate[Request]]:
        """The candidates of the models that the route names for an error's cause.

        There are none if it names none, or none of them can honour the request: then the error at hand says more.
        """
        models = CAUSES.get(type(error))
        if models is None:
            return ()
        try:
            routes = [self._look_up(name) for name in models(self._look_up(asked.request.model).fallbacks)]
            groups = await self._able(asked, routes)
        except ProxyError:
            return ()
        untried = only(groups, lambda candidate: candidate.target not in tried)
        return self._ordered(untried, asked, available)

    async def _able(self, asked: Asked[Request, Answer], routes: Sequence[Route]) -> Sequence[Group[Request]]:
        if is_long(asked.request):
            return await aside(self._searched, asked, routes)
        return self._searched(asked, routes)

    def _searched(self, asked: Asked[Request, Answer], routes: Sequence[Route]) -> Sequence[Group[Request]]:
        search = Search(asked, self._providers)
        groups = [group for route in routes if (group := search.among(route)).candidates]
        if not groups:
            raise search.failure()
        return groups

    def _ordered(
        self,
        groups: Sequence[Group[Request]],
        asked: Asked[Request, Answer],
        available: Callable[[Target], bool],
    ) -> Sequence[Candidate[Request]]:
        """One list of all groups: what has room, each group in its route's order, what is not available behind them."""
        if len(groups) == 1 and len(groups[0].candidates) == 1:  # nearly always
            return groups[0].candidates
        groups = with_room(groups, asked, self._listed)
        may_be_tried = {each.target for group in groups for each in group.candidates if available(each.target)}
        ordered = [
            candidate
            for group in only(groups, lambda candidate: candidate.target in may_be_tried)
            for candidate in self._ordering.order(group, asked)
        ]
        others = [each for group in groups for each in group.candidates if each.target not in may_be_tried]
        return ordered + others


def _check_kinds(request: ChatRequest | EmbedRequest, kinds: AbstractSet[str]) -> None:
    if not request.provider_options:  # nearly always
        return
    unknown = [kind for kind in request.provider_options if kind not in kinds]
    if unknown:
        known = ", ".join(sorted(kinds))
        raise InvalidRequest(
            "provider_options names a kind of provider that this version does not know.",
            violations=[FieldViolation(f'provider_options["{kind}"]', f"The kinds are {known}.") for kind in unknown],
        )


def _routes(request: ChatRequest | EmbedRequest, look_up: Callable[[str], Route]) -> list[Route]:
    """The route of the model, then those of its fallbacks: the caller's own if named, else the configured ones."""
    first = look_up(request.model)
    names = request.routing.fallback_models or first.fallback_models
    return [first, *map(look_up, names)]
