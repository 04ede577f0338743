"""What operators say of the candidates: a provider that is out of service is not tried, whatever else holds."""

from collections.abc import Callable, Container, Iterable, Sequence

from llmproxy_grpc.errors import NoProviderAvailable, ProxyError, name_fields
from llmproxy_grpc.routing.candidate import Candidate, Choice
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.operations import Request

Admits = Callable[[str], bool]
"""Whether a provider gets calls."""


def admitted(choice: Choice[Request], admits: Admits) -> Choice[Request]:
    """The choice among those whose providers get calls.

    Raises:
        NoProviderAvailable: There is none; names the providers.
    """
    candidates = _left(choice.candidates, admits)
    if not candidates:
        raise out_of_service(candidate.target.provider for candidate in choice.candidates)

    async def instead(error: ProxyError, tried: Container[Target]) -> Sequence[Candidate[Request]]:
        return _left(await choice.instead(error, tried), admits)

    return Choice(candidates, instead, choice.routes)


def _left(candidates: Sequence[Candidate[Request]], admits: Admits) -> Sequence[Candidate[Request]]:
    return [candidate for candidate in candidates if admits(candidate.target.provider)]


def out_of_service(providers: Iterable[str]) -> NoProviderAvailable:
    """The error for providers that operators have taken out of service."""
    names = name_fields(sorted(set(providers)))
    return NoProviderAvailable(
        f"Operators have taken out of service what could answer: {names}.", metadata={"providers": names}
    )
