"""Admits a bounded number of calls of each method, and ends what still runs when a drain runs out of time."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from llmproxy_grpc.calls import Call
from llmproxy_grpc.errors import Draining, ProxyError, ProxyOverloaded
from llmproxy_grpc.server.rpc import Proceed, Rpc

LIMITED: Final = frozenset({"Chat", "Stream", "Embed"})
RETRY_AFTER: Final = 1.0
"""Seconds that a refused caller is asked to wait."""
OVERLOADED_AFTER: Final = 10.0
"""Seconds of refusals after which the server counts as overloaded."""
QUIET: Final = 5.0
"""Seconds without a refusal after which a method that has room again counts as well."""
DRAINING: Final = "This replica is draining; another one serves."


class _Refusals(Struct):
    """When a method's calls began to be refused, and when one was refused last."""

    first: float
    last: float
    had_room: bool = False
    """Whether a call of the method has ended since the last refusal."""


class Admission:
    """The interceptor that counts calls in flight: the one place that knows what is running."""

    def __init__(self, limit: Callable[[], int], clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._running: dict[asyncio.Task[None], Call] = {}
        self._in_flight: dict[str, int] = {}
        self._refusals: dict[str, _Refusals] = {}
        self._ended: dict[asyncio.Task[None], ProxyError] = {}
        self._closed = False

    async def __call__(self, rpc: Rpc, proceed: Proceed) -> None:
        """Admits one call, or refuses it at once."""
        method = rpc.method.name
        if self._closed:
            raise Draining(DRAINING)
        running = self._in_flight.get(method, 0)
        if method in LIMITED and running >= self._limit():
            self._refused(method)
            raise ProxyOverloaded(
                f"The proxy has its limit of {self._limit()} {method} calls in flight.",
                retry_after=RETRY_AFTER,
                metadata={"limit": str(self._limit()), "method": method},
            )
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - grpc.aio runs every handler in a task
        self._in_flight[method] = running + 1
        self._running[task] = rpc.call
        try:
            await proceed(rpc)
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            raise self._ended[task] from None
        finally:
            self._in_flight[method] -= 1
            self._running.pop(task, None)
            self._ended.pop(task, None)
            if method in self._refusals:
                self._refusals[method].had_room = True

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Calls in flight by method."""
        return self._in_flight

    @property
    def limit(self) -> int:
        """Most calls of one limited method."""
        return self._limit()

    def overloaded(self) -> bool:
        """Whether calls have been refused for so long that another replica should get them."""
        now = self._clock()
        for method, refusals in list(self._refusals.items()):
            if self._in_flight.get(method, 0) < self._limit() and now - refusals.last > QUIET:
                del self._refusals[method]
        return any(now - refusals.first > OVERLOADED_AFTER for refusals in self._refusals.values())

    def evict(self) -> int:
        """Ends every call in flight, and every one that still comes, with DRAINING; returns how many there were."""
        self._closed = True
        return self.end(lambda _call: True, lambda: Draining(DRAINING))

    def end(self, wanted: Callable[[Call], bool], error: Callable[[], ProxyError]) -> int:
        """Ends the calls in flight that are wanted, with an error of their own each; returns how many there were."""
        tasks = [task for task, call in self._running.items() if wanted(call)]
        for task in tasks:
            self._ended[task] = error()
            task.cancel()
        return len(tasks)

    async def empty(self) -> None:
        """Waits until nothing is in flight."""
        while self._running:
            await asyncio.wait(list(self._running), return_when=asyncio.ALL_COMPLETED)

    def _refused(self, method: str) -> None:
        now = self._clock()
        refusals = self._refusals.get(method)
        if refusals is None or (refusals.had_room and now - refusals.last > QUIET):
            refusals = self._refusals[method] = _Refusals(now, now)
        refusals.last, refusals.had_room = now, False
