"""One target that may be tried for a request, and those of one route together."""

from collections.abc import Awaitable, Callable, Container, Sequence
from typing import Generic

from msgspec import Struct

from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import Warning
from llmproxy_grpc.providers.provider import Provider
from llmproxy_grpc.routing.catalog import Route, Target
from llmproxy_grpc.routing.operations import Request


class Candidate(Struct, Generic[Request], frozen=True):
    """A target that may be tried, the request as it gets it, and what the caller has to know of the difference."""

    target: Target
    provider: Provider
    request: Request
    warnings: Sequence[Warning] = ()


class Choice(Struct, Generic[Request], frozen=True):
    """What may answer a request.

    Attributes:
        candidates: In the order to try; at least one.
        instead: Gives what to try after an error that is no reason to turn to another of the candidates, but perhaps
            to another model; it leaves out what was tried.
        routes: Where the candidates come from.
    """

    candidates: Sequence[Candidate[Request]]
    instead: Callable[[ProxyError, Container[Target]], Awaitable[Sequence[Candidate[Request]]]]
    routes: Sequence[Route] = ()

    def passed_over(self) -> Sequence[Target]:
        """The targets of the routes that are no candidates; request, caller, conditions or operators exclude them."""
        able = {candidate.target for candidate in self.candidates}
        targets = dict.fromkeys(target for route in self.routes for target in route.targets)
        return [target for target in targets if target not in able]


class Group(Struct, Generic[Request], frozen=True):
    """A route, and the candidates among its targets."""

    route: Route
    candidates: Sequence[Candidate[Request]]


def only(groups: Sequence[Group[Request]], wanted: Callable[[Candidate[Request]], bool]) -> Sequence[Group[Request]]:
    """The groups with the candidates that are wanted; without those that have none left."""
    chosen = (Group(group.route, [each for each in group.candidates if wanted(each)]) for group in groups)
    return [group for group in chosen if group.candidates]
