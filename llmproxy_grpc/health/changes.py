"""Wakes those who show health whenever something that it is made of changes: told, so that nobody has to ask."""

from collections.abc import Callable


class Changes:
    """Where the parts that decide about health tell that they have changed, and their watchers listen."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Has `listener()` called at every change; it must return at once and not raise."""
        self._listeners.append(listener)

    def tell(self) -> None:
        """Something has changed."""
        for listener in self._listeners:
            listener()
