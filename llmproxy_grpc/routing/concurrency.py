"""The attempts in flight with each provider that may have only so many: as configured, or as it can take them."""

from collections.abc import Container, Iterable, Mapping
from typing import Final

from msgspec import Struct

from llmproxy_grpc.calls import STREAM, Attempt, Call, CallObserver
from llmproxy_grpc.errors import ProxyOverloaded, UpstreamOverloaded, UpstreamRateLimited
from llmproxy_grpc.routing.gradient import Gradient

RETRY_AFTER: Final = 1.0
"""Seconds that a caller is asked to wait for a place."""


class _Places(Struct):
    """The places with one provider, over all runtimes: a call that began before a reload still holds its own."""

    taken: int = 0


class Concurrency(CallObserver):
    """Bounds the attempts in flight. As an observer it learns the limits of those providers that have none configured.

    Args:
        fixed: The limits that are configured, by provider.
        learned: The providers whose limits are to be learned.
        unlimited: Those that have none. Their attempts are counted, since a reload may set a limit while they run.
    """

    def __init__(self, fixed: Mapping[str, int], learned: Iterable[str] = (), unlimited: Iterable[str] = ()) -> None:
        self._fixed = fixed
        self._learned = {provider: Gradient() for provider in learned}
        self._places = {provider: _Places() for provider in (*fixed, *self._learned, *unlimited)}

    @property
    def learns(self) -> bool:
        """Whether there is anything to learn."""
        return bool(self._learned)

    def limit(self, provider: str) -> int | None:
        """Most attempts in flight with a provider now; None for any."""
        gradient = self._learned.get(provider)
        return self._fixed.get(provider) if gradient is None else gradient.limit

    def adopt(self, before: "Concurrency", *, same: Container[str], there: Container[str]) -> None:
        """Takes over what is known from before a reload.

        Args:
            before: What held until now.
            same: The providers of which holds what was learned.
            there: The providers that are where they were: what still runs with them holds its places.
        """
        learned, places = before._learned, before._places  # noqa: SLF001 - one of us
        self._learned.update({name: learned[name] for name in self._learned if name in learned and name in same})
        self._places.update({name: places[name] for name in self._places if name in places and name in there})

    def take(self, provider: str) -> bool:
        """Takes a place for an attempt; False if nobody counts the provider's. `give_back` it.

        Raises:
            ProxyOverloaded: All places are taken; another target may have one.
        """
        places = self._places.get(provider)
        if places is None:
            return False
        limit = self.limit(provider)
        if limit is not None and places.taken >= limit:
            raise ProxyOverloaded(
                f"The limit of {limit} calls in flight to provider {provider} is reached.",
                retry_after=RETRY_AFTER,
                metadata={"limit": str(limit), "provider": provider},
            )
        places.taken += 1
        return True

    def give_back(self, provider: str) -> None:
        """Gives a place back."""
        self._places[provider].taken -= 1

    def first_output(self, call: Call, seconds: float) -> None:
        """Learns from the time to a stream's first output."""
        self._took(call.provider, seconds, call.method)

    def attempt_ended(self, call: Call, attempt: Attempt) -> None:
        """Learns from the time of a whole answer, and from a provider that has too much to do."""
        if isinstance(attempt.error, UpstreamRateLimited | UpstreamOverloaded):
            if (gradient := self._learned.get(attempt.provider)) is not None:
                gradient.refused()
        elif attempt.error is None and call.method != STREAM:
            self._took(attempt.provider, attempt.latency, call.method)

    def _took(self, provider: str, seconds: float, method: str) -> None:
        gradient = self._learned.get(provider)
        if gradient is not None:
            gradient.took(seconds, self._places[provider].taken, method)
