"""One time limit over the many waits of an attempt, by a single timer that looks whether it is time yet."""

import asyncio
import math


class Patience:
    """Cancels a wait that lasts too long, or that is given up.

    `asyncio.timeout` would make and drop a timer for every token.

    Use it as `begin`, await, and `end` in a `finally`; a CancelledError that `ran_out` explains is one of these.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = math.inf
        self._limit_at = math.inf
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._fired = False

    def begin(self, limit_at: float) -> None:
        """The current task begins to wait, until `limit_at` by the loop's clock."""
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0
        self._limit_at = limit_at
        self._fired = False
        if limit_at < self._fires_at:
            self._arm(limit_at)

    def end(self) -> None:
        """The wait is over."""
        self._task = None

    def ran_out(self) -> bool:
        """Whether the CancelledError at hand is of our making, and nobody else cancelled the task as well."""
        task = asyncio.current_task()
        if not self._fired or task is None:
            return False
        self._fired = False
        return task.uncancel() <= self._cancelling

    def give_up(self) -> None:
        """The wait at hand, if there is one, ends as if its time had run out."""
        if self._task is not None and not self._fired:
            self._fired = True
            self._task.cancel()

    def close(self) -> None:
        """Drops the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, when: float) -> None:
        self.close()
        self._fires_at = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """Fires; most often the wait that the timer was made for is long over, and a later one has its own limit."""
        self._fires_at = math.inf
        if self._task is None:
            return
        if self._loop.time() < self._limit_at:
            self._arm(self._limit_at)
            return
        self.give_up()
