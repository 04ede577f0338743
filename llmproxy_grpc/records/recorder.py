"""Hands what calls say to the spool: the side of the event loop, where each call may cost microseconds."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from llmproxy_grpc.records.spool.entries import Began, Ended, Judged
from llmproxy_grpc.records.spool.writer import Offer
from llmproxy_grpc.records.tally import Tally

Waiter = asyncio.Future[bool | None]

PATIENCE: Final = {"spool": 0.020, "durable": 0.150, "async": 0.0}
"""Seconds that an answer waits for its record at most, by durability."""
LONGEST_PATIENCE: Final = 5.0
"""Seconds that a judgement waits, which nothing else keeps."""
GAP: Final = 0.003
"""Seconds between two wakings of the spool's thread while there are several calls: each costs tens of microseconds."""
COMPANY: Final = 0.050
"""Seconds for which a call that was seen beside another one says that there are several."""
LULL: Final = 0.005
"""Seconds that the news of a call's begin may wait for company: nobody waits for it, and each wake-up costs."""


class Spool(Protocol):
    """What the recorder needs of a worker's spool."""

    @property
    def sound(self) -> bool:
        """Whether what is put now will most likely be written whole."""
        ...

    def put(self, offers: Sequence[Offer]) -> None:
        """Takes frames, at once."""
        ...


class Recorder:
    """Records calls from within the event loop.

    Args:
        spool: Of this worker.
        tally: Counts.
        durability: `spool`, `durable` or `async`.
    """

    def __init__(self, spool: Spool, tally: Tally, durability: str) -> None:
        self._spool = spool
        self._tally = tally
        self._patience = PATIENCE[durability]
        self._durable = durability == "durable"
        self._waiting: list[Offer] = []
        self._waiters: list[Waiter] = []
        """Of the answers among them."""
        self._running = 0
        """Calls that have begun and are not answered."""
        self._accepted = 0
        """Ends among them, which are counted with their hand-over."""
        self._flush: asyncio.Handle | None = None
        self._hurried = False
        self._put_at = 0.0
        self._shared_until = 0.0
        self._loop = asyncio.get_running_loop()

    @property
    def promises(self) -> bool:
        """Whether records can be kept as promised; only `durable` promises anything before a call begins."""
        return not self._durable or self._spool.sound

    @property
    def confirms(self) -> bool:
        """Whether an answer has to say so if its record is not known to be written; `async` never knows."""
        return bool(self._patience)

    def began(self, began: Began) -> None:
        """A call has begun; nobody waits for that. `ended` or `complete` follows, exactly once."""
        self._running += 1
        self._waiting.append(Offer(began))
        if self._flush is None:
            self._flush = self._loop.call_later(LULL, self._put)

    def ended(self, ended: Ended) -> None:
        """A call has ended, and nobody waits for its record."""
        self._offer(ended, None)
        self._running -= 1

    async def complete(self, ended: Ended) -> bool:
        """A call has ended whose answer waits for its record; returns whether that is known to be written."""
        if not self._patience:
            self.ended(ended)
            return False
        waiter: Waiter = self._loop.create_future()
        self._waiters.append(waiter)
        self._offer(ended, waiter)
        try:
            written = await waiter
        finally:
            self._running -= 1
        if written is None:
            self._tally.hurry()
        return bool(written)

    def stripped(self) -> None:
        """A call is about to end of whose record the content was left out, as there was too much of it."""
        self._tally.strip()

    async def judged(self, judged: Judged) -> bool:
        """Records a judgement; returns whether that is known to be written."""
        waiter: Waiter = self._loop.create_future()
        self._waiting.append(Offer(judged, waiter, len(judged.content or b"")))
        self._put_soon()
        timer = self._loop.call_later(LONGEST_PATIENCE, _settle, (waiter,), None)
        try:
            return bool(await waiter)
        finally:
            timer.cancel()

    def close(self) -> None:
        """Hands over what waits."""
        self._put()

    def settle(self, waiters: Sequence[Waiter], written: bool) -> None:  # noqa: FBT001 - as the spool calls it
        """Called by the spool, from its own thread: these waiters need not wait any longer."""
        with suppress(RuntimeError):  # the loop has ended, and with it who waited
            self._loop.call_soon_threadsafe(_settle, waiters, written)

    def _offer(self, ended: Ended, waiter: Waiter | None) -> None:
        self._accepted += 1
        self._waiting.append(Offer(ended, waiter, ended.size))
        self._put_soon()

    def _put_soon(self) -> None:
        """At the end of the loop's turn, so that calls that end in one turn share one waking of the spool's thread.

        If there are others, a moment after the last time, so that those of some turns do, and all are done sooner.
        """
        if self._hurried:
            return
        if self._flush is not None:
            self._flush.cancel()
        now = self._loop.time()
        if self._running > 1:
            self._shared_until = now + COMPANY
        wait = self._put_at + GAP - now if now < self._shared_until else 0.0
        self._flush = self._loop.call_later(wait, self._put) if wait > 0 else self._loop.call_soon(self._put)
        self._hurried = True

    def _put(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._hurried = False
        self._put_at = self._loop.time()
        if not self._waiting:
            return
        if self._accepted:
            self._tally.accept(self._accepted)
            self._accepted = 0
        if self._waiters:
            # One timer for all of them, which nobody cancels: most often it finds nobody waiting any more.
            self._loop.call_later(self._patience, _settle, self._waiters, None)
            self._waiters = []
        waiting, self._waiting = self._waiting, []
        self._spool.put(waiting)


def _settle(waiters: Sequence[Waiter], written: bool | None) -> None:  # noqa: FBT001 - as the loop calls it
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(written)
