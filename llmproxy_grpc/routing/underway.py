"""The attempts under way with each provider: what operators end when they take one out of service."""

from collections.abc import Callable
from typing import Protocol

from llmproxy_grpc.errors import ProxyError


class Endable(Protocol):
    """An attempt."""

    def withdraw(self, error: ProxyError) -> None:
        """Ends it with this error as soon as it waits for its provider."""


class Underway:
    """Knows the attempts of all runtimes: calls that began before a reload still use the one before."""

    def __init__(self) -> None:
        self._attempts: dict[str, set[Endable]] = {}

    def add(self, provider: str, attempt: Endable) -> None:
        """An attempt begins; `remove` it."""
        self._attempts.setdefault(provider, set()).add(attempt)

    def remove(self, provider: str, attempt: Endable) -> None:
        """An attempt has ended."""
        self._attempts[provider].discard(attempt)

    def withdraw(self, provider: str, error: Callable[[], ProxyError]) -> None:
        """Ends all attempts with a provider, each with an error of its own, after which another target may serve."""
        for attempt in tuple(self._attempts.get(provider, ())):
            attempt.withdraw(error())
