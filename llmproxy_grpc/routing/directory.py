"""What each provider's own list of models said last, refreshed in the background."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog

from llmproxy_grpc.errors import InternalError, ProxyError, UpstreamTimeout
from llmproxy_grpc.providers.provider import Provider, UpstreamModel

REFRESH: Final = 300.0
"""Seconds between two looks at every list, on average."""
JITTER: Final = 0.1
"""How much sooner or later, as a share, so that replicas that began together do not ask together for ever."""
MOST_MODELS: Final = 10_000
"""Models of one provider; the largest gateways list some hundreds."""
LONGEST_NAME: Final = 256

Models = Mapping[str, UpstreamModel]
"""The models of one provider by name, in the order of its list."""

log = structlog.get_logger(__name__)


class Directory:
    """The models of every provider; a provider that cannot be asked keeps its last list.

    Args:
        providers: Every provider by name.
        timeout: Longest wait for one list, in seconds.
        tell: Told the result of asking a provider, None for success: a list is a probe as well.
        chance: Gives a number from 0 to 1.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        timeout: float,
        tell: Callable[[str, ProxyError | None], None],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._providers = providers
        self._timeout = timeout
        self._tell = tell
        self._chance = chance
        self.refreshed = asyncio.Event()
        """Set once every provider has been asked."""
        self._lists: dict[str, Models] = {}
        self._failing: set[str] = set()

    def lists(self) -> Mapping[str, Models]:
        """The lists by provider name."""
        return self._lists

    def find(self, provider: str, upstream_model: str) -> UpstreamModel | None:
        """What a provider said last of one of its models; None if it does not list it."""
        return self._lists.get(provider, {}).get(upstream_model)

    def remember(self, provider: str, models: Models) -> None:
        """Takes a list that is known from elsewhere, until the provider is asked."""
        self._lists[provider] = models

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
            await sleep(REFRESH * (1 + JITTER * (2 * self._chance() - 1)))

    async def _refresh(self, name: str, provider: Provider) -> None:
        error: ProxyError | None = None
        try:
            async with asyncio.timeout(self._timeout):
                self._lists[name] = dict(_usable(await provider.list_models()))
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


def _usable(models: Sequence[UpstreamModel]) -> Iterator[tuple[str, UpstreamModel]]:
    """The models that callers can name, so many at most; the first of a name counts."""
    seen: set[str] = set()
    for model in models:
        name = model.name
        if name in seen or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            continue
        seen.add(name)
        yield name, model
        if len(seen) >= MOST_MODELS:
            return
