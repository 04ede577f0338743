"""What all workers know of each other's experience: small values by key, each for a while."""

import time
from collections.abc import Callable
from typing import Final

from llmproxy_grpc.workers.protocol import Shared

MOST_ENTRIES: Final = 10_000

Subscriber = Callable[[str, bytes, float], None]


class Retained:
    """The newest value of every key that has not run out: what a worker that starts late has to be told.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[float, Shared]] = {}

    def keep(self, entry: Shared) -> None:
        """Takes a value in place of an earlier one; of more than 10,000, half is forgotten: what ends the soonest."""
        self._entries.pop(entry.key, None)
        if len(self._entries) >= MOST_ENTRIES:
            for key in sorted(self._entries, key=lambda key: self._entries[key][0])[: MOST_ENTRIES // 2]:
                del self._entries[key]
        self._entries[entry.key] = (self._clock() + entry.seconds, entry)

    def all(self) -> tuple[Shared, ...]:
        """Every value that still holds, with the seconds that are left."""
        now = self._clock()
        self._entries = {key: kept for key, kept in self._entries.items() if kept[0] > now}
        return tuple(Shared(entry.key, entry.value, until - now) for until, entry in self._entries.values())


class SharedTable:
    """A worker's view: it publishes to all others, by way of the supervisor, and hears what they publish.

    The supervisor passes messages on in order, whole or not at all, so that a worker may die at any moment. What was
    published before somebody subscribes is told at once.

    Args:
        send: Sends to the supervisor.
    """

    def __init__(self, send: Callable[[Shared], None]) -> None:
        self._send = send
        self._subscribers: list[tuple[str, Subscriber]] = []
        self._known = Retained()

    def publish(self, key: str, value: bytes, *, seconds: float) -> None:
        """Tells all other workers, also those that start within so many seconds; this one knows already."""
        entry = Shared(key, value, seconds)
        self._known.keep(entry)
        self._send(entry)

    def subscribe(self, prefix: str, subscriber: Subscriber) -> None:
        """Has `subscriber(key, value, seconds)` called for what others publish under keys that begin so."""
        self._subscribers.append((prefix, subscriber))
        for entry in self._known.all():
            if entry.key.startswith(prefix):
                subscriber(entry.key, entry.value, entry.seconds)

    def receive(self, entry: Shared) -> None:
        """Takes what another worker has published."""
        self._known.keep(entry)
        for prefix, subscriber in self._subscribers:
            if entry.key.startswith(prefix):
                subscriber(entry.key, entry.value, entry.seconds)
