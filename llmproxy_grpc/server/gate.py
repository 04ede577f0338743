"""The slots of one method, and the few calls that wait a moment for one."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec import Struct

from llmproxy_grpc.calls import Criticality
from llmproxy_grpc.errors import ProxyError

RESERVED: Final = 0.2
"""The share of the slots that is kept for calls that are critical."""
STANDING: Final = 0.1
"""Seconds after which a queue stands: then the newest goes first, whose caller is most likely still there."""
MOST_WAITING: Final = 128
"""Calls that wait at a time: each is a request in memory, and more could not be served in time anyway."""


class _Waiter(Struct, eq=False):
    """A call that waits for a slot: its future becomes True with one, False if another call takes its place."""

    slot: "asyncio.Future[bool]"
    criticality: Criticality


class Gate:
    """Lets so many calls of one method in at a time, the more critical first.

    Args:
        limit: Most calls at a time.
        clock: Monotonic seconds.
    """

    def __init__(self, limit: Callable[[], int], clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self.running = 0
        """Calls that are in."""
        self.waiting = 0
        """Calls that wait."""
        self._queues: dict[Criticality, deque[_Waiter]] = {each: deque() for each in sorted(Criticality, reverse=True)}
        self._standing_since = 0.0

    def enter(self, criticality: Criticality) -> bool:
        """Takes a slot if one is free; `leave` gives it back."""
        if not self._is_free(criticality):
            return False
        self.running += 1
        return True

    async def wait(self, criticality: Criticality, patience: float) -> bool:
        """Waits so many seconds at most for a slot; False if none came, or too many wait already.

        Raises:
            ProxyError: The gate was closed with it.
        """
        if patience <= 0 or not self._has_room(criticality):
            return False
        waiter = _Waiter(asyncio.get_running_loop().create_future(), criticality)
        if self.waiting == 0:
            self._standing_since = self._clock()
        self.waiting += 1
        self._queues[criticality].append(waiter)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await waiter.slot
            return _has_slot(waiter)
        except asyncio.CancelledError:
            if _has_slot(waiter):
                self.leave()  # the slot came, and the caller went, at the same moment
            raise
        finally:
            self._forget(waiter)

    def leave(self) -> None:
        """Gives a slot back; whoever waits gets it at once."""
        self.running -= 1
        self._hand_over()

    def close(self, error: Callable[[], ProxyError]) -> None:
        """Ends every wait with an error."""
        for queue in self._queues.values():
            for waiter in queue:
                if not waiter.slot.done():
                    waiter.slot.set_exception(error())

    def _is_free(self, criticality: Criticality) -> bool:
        """Whether a call of this criticality may have a slot."""
        limit = self._limit()
        return self.running < (limit if criticality >= Criticality.CRITICAL else limit - int(limit * RESERVED))

    def _has_room(self, criticality: Criticality) -> bool:
        """Whether one more may wait; for a more critical one the newest of the least critical gives way."""
        if self.waiting < min(MOST_WAITING, self._limit()):
            return True
        for least in sorted(self._queues):
            if least >= criticality:
                return False
            if self._queues[least]:
                self._settle(self._queues[least][-1], with_slot=False)
                return True
        return False

    def _hand_over(self) -> None:
        while self.waiting and (waiter := self._next()) is not None:
            self.running += self._settle(waiter, with_slot=True)

    def _next(self) -> _Waiter | None:
        """Who gets the next slot: of the most critical that may have it the oldest, of a standing queue the newest."""
        for criticality, queue in self._queues.items():
            if queue and self._is_free(criticality):
                return queue[-1] if self._clock() - self._standing_since > STANDING else queue[0]
        return None

    def _settle(self, waiter: _Waiter, *, with_slot: bool) -> bool:
        """Ends a wait; False if it has ended already, its time up or its caller gone, and its task has yet to run."""
        self._forget(waiter)
        if waiter.slot.done():
            return False
        waiter.slot.set_result(with_slot)
        return True

    def _forget(self, waiter: _Waiter) -> None:
        with suppress(ValueError):
            self._queues[waiter.criticality].remove(waiter)
            self.waiting -= 1


def _has_slot(waiter: _Waiter) -> bool:
    slot = waiter.slot
    return slot.done() and not slot.cancelled() and slot.exception() is None and slot.result()
