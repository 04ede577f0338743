"""Credentials that expire: fetched off the event loop, by one for all who wait, and again before they end."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from llmproxy_grpc.errors import CredentialsRejected, ProxyError
from llmproxy_grpc.providers.token_trouble import trouble

T = TypeVar("T")

EARLY: Final = 300.0
"""Seconds before the end from which on a credential is fetched anew."""
_RETRY: Final = 10.0
"""Seconds after a failed fetch in which an old credential that still holds is used without asking again."""


class Expiring(Generic[T]):
    """Holds one credential.

    Args:
        fetch: Gives a new one, and when it ends, in seconds of `now`; runs in a thread and may block.
        now: The wall clock, in seconds since 1970.
    """

    def __init__(self, fetch: Callable[[], tuple[T, float]], *, now: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._now = now
        self._value: T | None = None
        self._ends_at = 0.0
        self._ask_again_at = 0.0
        self._fetching: asyncio.Task[None] | None = None
        self._trouble: Callable[[], ProxyError] = _none_valid

    async def get(self) -> T:
        """Gives a credential that holds, waiting for one if need be.

        Raises:
            CredentialsRejected: There is none to be had.
            UpstreamError: Who gives them out cannot be reached, is too slow, or has trouble of its own.
        """
        now = self._now()
        if self._value is not None and now < self._ends_at - EARLY:
            return self._value
        if self._value is None or now >= self._ask_again_at:
            await self._refresh()
        if self._value is None or self._now() >= self._ends_at:
            raise self._trouble()
        return self._value

    async def _refresh(self) -> None:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._run())
        # Who leaves while others wait takes nothing from them.
        await asyncio.shield(self._fetching)

    async def _run(self) -> None:
        try:
            self._value, self._ends_at = await asyncio.to_thread(self._fetch)
        except Exception as error:  # noqa: BLE001 - libraries of clouds raise anything; what they say may hold secrets
            self._trouble = trouble(error, had=self._value is not None) or _none_valid
            self._ask_again_at = self._now() + _RETRY
        finally:
            self._fetching = None


def _none_valid() -> ProxyError:
    return CredentialsRejected("The proxy has no valid credential for the provider.")
