"""Which records wait to leave with a message."""

import time
from collections.abc import Sequence

from llmproxy_grpc.export.picks import Pick


class Held:
    """Which records wait to leave, and since when."""

    def __init__(self) -> None:
        self._seqs: list[int] = []
        self._since = self._reading_since = time.monotonic()

    def reading(self) -> None:
        """What comes next is read from now on."""
        self._reading_since = time.monotonic()
        if not self._seqs:
            self._since = self._reading_since

    def extend(self, picks: Sequence[Pick]) -> None:
        """Some more, read lately."""
        self._seqs.extend([pick.seq for pick in picks])
        self._seqs.extend([pick.rejected for pick in picks if pick.rejected is not None])

    def take(self) -> tuple[list[int], float]:
        """All of them, and a time before the first was read."""
        taken = self._seqs, self._since
        self._seqs, self._since = [], self._reading_since
        return taken
