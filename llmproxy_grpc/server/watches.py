"""The open Watch calls of grpc.health.v1: each name is looked at once at a change, however many watch it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from msgspec import Struct

SOONEST: Final = 0.05
"""Seconds between two looks at least: something that flaps must not keep the process busy with telling so."""
LATEST: Final = 0.2
"""Seconds between two looks at most: not everything that a status is made of can tell that it changes, such as time."""
MOST_LOOKS: Final = 2000
"""Statuses a second that those later looks take: callers choose how many names they watch."""


class _Topic(Struct):
    """A name that is watched: its status, and what wakes its watches at the next one."""

    status: Any
    changed: asyncio.Event
    watches: int = 0


class Watches:
    """Wakes the watches of a name when its status has changed.

    Args:
        status: The status of a name.
    """

    def __init__(self, status: Callable[[str], Any]) -> None:
        self._status = status
        self._topics: dict[str, _Topic] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = 0.0
        self.open = 0
        """How many watches there are."""
        self._closed = False

    def changed(self) -> None:
        """Something may have changed: looks soon."""
        if self._topics:
            self._look_in(SOONEST - (asyncio.get_running_loop().time() - self._looked_at))

    def close(self) -> None:
        """Lets every watch tell the last status, and end."""
        self._closed = True
        self._look()

    async def statuses(self, name: str) -> AsyncGenerator[Any, None]:
        """Yields the status of a name now, and whenever it is another one, until everything is closed.

        A reader that is slow gets the latest status, not every one between. Hold it with `contextlib.aclosing`.
        """
        topic = self._enter(name)
        told: Any = None
        try:
            while True:
                changed, status = topic.changed, topic.status
                if status != told:
                    told = status
                    yield status
                    continue
                if self._closed:
                    return
                await changed.wait()
        finally:
            self._leave(name, topic)

    def _enter(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = _Topic(self._status(name), asyncio.Event())
        else:
            self._refresh(name, topic)
        topic.watches += 1
        self.open += 1
        if self._timer is None:
            self._look_in(self._pause())
        return topic

    def _leave(self, name: str, topic: _Topic) -> None:
        topic.watches -= 1
        self.open -= 1
        if topic.watches == 0:
            del self._topics[name]
        if not self._topics and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Looks at every name that is watched, and wakes the watches of those with another status."""
        loop = asyncio.get_running_loop()
        self._looked_at = loop.time()
        for name, topic in self._topics.items():
            self._refresh(name, topic)
        self._timer = None
        if self._topics and not self._closed:
            self._look_in(self._pause())

    def _refresh(self, name: str, topic: _Topic) -> None:
        status = self._status(name)
        if status != topic.status or self._closed:
            topic.status = status
            topic.changed.set()
            topic.changed = asyncio.Event()

    def _look_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, seconds)
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = loop.call_at(when, self._look)

    def _pause(self) -> float:
        return max(LATEST, len(self._topics) / MOST_LOOKS)
