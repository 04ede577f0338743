"""What each provider's own list of models said last, refreshed in the background."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from llmproxy_grpc.errors import InternalError, ProxyError, UpstreamTimeout
from llmproxy_grpc.providers.provider import Provider, UpstreamModel

REFRESH: Final = 300.0
"""Seconds between two looks at every list."""

log = structlog.get_logger(__name__)


class Directory:
    """The models of every provider; a provider that cannot be asked keeps its last list.

    Args:
        providers: Every provider by name.
        timeout: Longest wait for one list, in seconds.
        tell: Told the result of asking a provider, None for success: a list is a probe as well.
    """

    def __init__(
        self, providers: Mapping[str, Provider], timeout: float, tell: Callable[[str, ProxyError | None], None]
    ) -> None:
        self._providers = providers
        self._timeout = timeout
        self._tell = tell
        self.refreshed = asyncio.Event()
        """Set once every provider has been asked."""
        self._lists: dict[str, Sequence[UpstreamModel]] = {}
        self._failing: set[str] = set()

    def lists(self) -> Mapping[str, Sequence[UpstreamModel]]:
        """The lists by provider name."""
        return self._lists

    async def refresh(self) -> None:
        """Asks every provider at once for its models."""
        async with asyncio.TaskGroup() as group:
            for name, provider in self._providers.items():
                group.create_task(self._refresh(name, provider))

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Refreshes until it is cancelled."""
        while True:
            await self.refresh()
            self.refreshed.set()
            await sleep(REFRESH)

    async def _refresh(self, name: str, provider: Provider) -> None:
        error: ProxyError | None = None
        try:
            async with asyncio.timeout(self._timeout):
                self._lists[name] = tuple(await provider.list_models())
        except TimeoutError:
            error = UpstreamTimeout(f"The provider did not list its models within {self._timeout:.3g} s.")
        except ProxyError as raised:
            error = raised
        except Exception as raised:  # noqa: BLE001 - a fault of one provider must not end the refresh of all
            error = InternalError(f"The provider's code failed with {type(raised).__qualname__}.")
        self._tell(name, error)
        self._log_changes(name, error)

    def _log_changes(self, name: str, error: ProxyError | None) -> None:
        """Logs a failure once, not at every refresh."""
        if error is None:
            self._failing.discard(name)
        elif name not in self._failing:
            self._failing.add(name)
            log.warning("models_not_listed", provider=name, reason=error.reason, error=error.message)
