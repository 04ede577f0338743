"""Admits a bounded number of calls of each method, the critical ones first, and ends what a drain cannot wait for."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from llmproxy_grpc.calls import Call
from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.errors import Draining, ProxyOverloaded
from llmproxy_grpc.server.gate import Gate
from llmproxy_grpc.server.lasting import AFTER, QUIET
from llmproxy_grpc.server.rpc import Proceed, Rpc
from llmproxy_grpc.telemetry.pressure import Pressure

LIMITED: Final = frozenset({"Chat", "Stream", "Embed"})
NEVER_REFUSED: Final = frozenset({"Health"})
"""Methods that must answer whatever happens: who looks whether a busy server lives must not find it dead."""
UNLIMITED: Final = 2**31
RETRY_AFTER: Final = 1.0
"""Seconds that a refused caller is asked to wait."""
DRAINING: Final = "This replica is draining; another one serves."


class _Refusals(Struct):
    """When a method's calls began to be refused, and when one was refused last."""

    first: float
    last: float
    had_room: bool = False
    """Whether a call of the method has ended since the last refusal."""


class Admission:
    """The interceptor that counts calls in flight: the one place that knows what is running.

    Args:
        config: The configuration in force.
        pressure: Which calls are refused because the process has trouble.
        clock: Monotonic seconds.
        refused_before: Whether calls have been refused for long before they came here.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        pressure: Pressure,
        clock: Callable[[], float],
        refused_before: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config = config
        self._pressure = pressure
        self._clock = clock
        self._refused_before = refused_before
        self._running: dict[asyncio.Task[None], Call] = {}
        self._gates: dict[str, Gate] = {}
        self._refusals: dict[str, _Refusals] = {}
        self._ended: dict[asyncio.Task[None], Draining] = {}
        self._closed = False

    async def __call__(self, rpc: Rpc, proceed: Proceed) -> None:
        """Admits one call, at once or when it has waited a moment, or refuses it."""
        method = rpc.method.name
        gate = self._gates.get(method) or self._gate(method)
        criticality = rpc.call.caller.criticality
        if self._closed:
            raise Draining(DRAINING)
        if criticality < self._pressure.least and method not in NEVER_REFUSED:
            raise self._refused_by_pressure(method)
        if not gate.enter(criticality) and not await gate.wait(criticality, self._config().shedding.wait):
            raise self._refused_by_limit(method)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - grpc.aio runs every handler in a task
        self._running[task] = rpc.call
        try:
            await proceed(rpc)
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            raise self._ended[task] from None
        finally:
            self._running.pop(task, None)
            self._ended.pop(task, None)
            gate.leave()
            if method in self._refusals:
                self._refusals[method].had_room = True

    def running(self, method: str) -> int:
        """Calls of a method that are in flight."""
        gate = self._gates.get(method)
        return 0 if gate is None else gate.running

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Calls in flight by method."""
        return {method: gate.running for method, gate in self._gates.items()}

    @property
    def limit(self) -> int:
        """Most calls of one limited method."""
        return self._config().grpc.max_in_flight

    def overloaded(self) -> bool:
        """Whether calls have been refused for so long that another replica should get them.

        Refusals are moments rather than a state that one could look at: what is between two of them counts as well,
        unless there is room and nobody was refused for a while.
        """
        now = self._clock()
        for method, refusals in list(self._refusals.items()):
            if self.running(method) < self.limit and now - refusals.last > QUIET:
                del self._refusals[method]
        lasting = any(now - refusals.first > AFTER for refusals in self._refusals.values())
        return lasting or self._refused_before()

    def evict(self) -> int:
        """Ends every call in flight, and every one that waits or still comes, with DRAINING; returns how many ran."""
        self._closed = True
        for gate in self._gates.values():
            gate.close(_draining)
        for task, call in self._running.items():
            self._ended[task] = call.ended_by = _draining()  # an error of its own each
            task.cancel()
        return len(self._running)

    async def empty(self) -> None:
        """Waits until nothing is in flight."""
        while self._running:
            await asyncio.wait(list(self._running), return_when=asyncio.ALL_COMPLETED)

    def _gate(self, method: str) -> Gate:
        limit = (lambda: self.limit) if method in LIMITED else (lambda: UNLIMITED)
        gate = self._gates[method] = Gate(limit, self._clock)
        return gate

    def _refused_by_limit(self, method: str) -> ProxyOverloaded:
        self._note_refusal(method)
        limit = str(self.limit)
        return ProxyOverloaded(
            f"The proxy has its limit of {limit} {method} calls in flight.",
            retry_after=RETRY_AFTER,
            metadata={"limit": limit, "method": method},
        )

    def _refused_by_pressure(self, method: str) -> ProxyOverloaded:
        self._note_refusal(method)
        cause = self._pressure.cause
        return ProxyOverloaded(
            "The proxy sheds load: its memory is nearly full."
            if cause == "memory"
            else "The proxy sheds load: it answers late.",
            retry_after=RETRY_AFTER,
            metadata={"cause": cause, "method": method},
        )

    def _note_refusal(self, method: str) -> None:
        now = self._clock()
        refusals = self._refusals.get(method)
        if refusals is None or (refusals.had_room and now - refusals.last > QUIET):
            refusals = self._refusals[method] = _Refusals(now, now)
        refusals.last, refusals.had_room = now, False


def _draining() -> Draining:
    return Draining(DRAINING)
