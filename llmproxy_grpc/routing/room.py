"""Targets whose model is too small for a prompt: passed over before they are tried, as far as an estimate can tell."""

import math
from collections.abc import Callable, Sequence

from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.candidate import Candidate, Group, only
from llmproxy_grpc.routing.operations import Answer, Request

Listed = Callable[[str, str], UpstreamModel | None]
"""What a provider's list says of an upstream model."""


def with_room(
    groups: Sequence[Group[Request]], asked: Asked[Request, Answer], listed: Listed
) -> Sequence[Group[Request]]:
    """Leaves out the candidates that are too small for the request.

    If all are too small, the largest are left: an estimate refuses nothing. The prompt is measured only if there is a
    limit to hold it against.
    """
    limits = {candidate.target: _limit(group, candidate, listed) for group in groups for candidate in group.candidates}
    if all(limit == math.inf for limit in limits.values()):
        return groups
    fitting = only(groups, lambda candidate: limits[candidate.target] >= asked.room(candidate.request))
    if fitting:
        return fitting
    largest = max(limits.values())
    return only(groups, lambda candidate: limits[candidate.target] == largest)


def _limit(group: Group[Request], candidate: Candidate[Request], listed: Listed) -> float:
    """How many tokens a target takes: as configured, else as its provider lists it; no limit if nobody says."""
    target = candidate.target
    configured = group.route.limits.get(target)
    if configured is not None:
        return configured
    model = listed(target.provider, target.upstream_model)
    return model.max_input_tokens if model is not None and model.max_input_tokens > 0 else math.inf
