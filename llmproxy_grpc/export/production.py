"""Turns chosen records into messages, one bounded step at a time; runs in a thread."""

from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from llmproxy_grpc.export.output import Piece
from llmproxy_grpc.export.picks import Pick, Picks
from llmproxy_grpc.export.reading import portions
from llmproxy_grpc.export.rendering import Left, Renderer
from llmproxy_grpc.export.tally import Tally

_M = TypeVar("_M")
_In_contra = TypeVar("_In_contra", contravariant=True)


class Writer(Protocol[_In_contra]):
    """Cuts what was made of records into messages."""

    def reading(self) -> None:
        """Records are read from now on, of which the next are made."""

    def extend(self, picks: Sequence[Pick], made: Sequence[_In_contra]) -> None:
        """Takes the next, and what was made of each."""

    def flush(self) -> None:
        """Ends the message."""

    def close(self) -> None:
        """Ends the message and the file."""

    def take(self) -> list[Piece]:
        """What is ready to be sent."""
        ...


class Invalid(Exception):
    """A record does not fit the format, and that is to be the end."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(reason)
        self.seq = seq
        self.reason = reason


class Production(Generic[_M]):
    """Makes an export's messages.

    Args:
        picks: The records.
        renderer: What is made of them.
        writer: Cuts that into messages.
        tally: Counts; its cursor is where to begin.
        limit: Most records that are selected; 0 means all.
        fail_on_invalid: Whether a record that does not fit the format is the end.
    """

    def __init__(
        self,
        picks: Picks,
        renderer: Renderer[_M],
        writer: Writer[_M],
        *,
        tally: Tally,
        limit: int,
        fail_on_invalid: bool,
    ) -> None:
        self._picks = picks
        self._renderer = renderer
        self._writer = writer
        self._tally = tally
        self._limit = limit
        self._fail_on_invalid = fail_on_invalid
        self._after = tally.cursor
        self._waiting: deque[Sequence[Pick]] = deque()
        self._over = False
        self._invalid: Invalid | None = None

    def step(self) -> tuple[list[Piece], bool]:
        """Does a bounded piece of work.

        Returns:
            The messages that are ready, perhaps none, and whether they are the last.

        Raises:
            Invalid: As asked for; what came before it has been returned.
        """
        if self._invalid is not None:
            raise self._invalid
        if self._full:
            self._writer.close()
            return self._writer.take(), True
        if self._waiting:
            self._take(self._waiting.popleft())
        elif self._over:
            self._writer.close()
            return self._writer.take(), True
        else:
            self._look()
        return self._writer.take(), False

    @property
    def _full(self) -> bool:
        return bool(self._limit) and self._tally.selected >= self._limit

    def _look(self) -> None:
        picks, self._after, self._over = self._picks.block(self._after)
        self._waiting.extend(portions(picks, _size))
        if not picks:
            self._tally.cursor = self._after

    def _take(self, picks: Sequence[Pick]) -> None:
        """Hands over what was made, in runs as long as none is left out: most portions are one run."""
        picks = self._within_limit(picks)
        self._writer.reading()
        run: list[_M] = []
        for index, made in enumerate(self._made(picks)):
            if not isinstance(made, Left):
                run.append(made)
                continue
            self._writer.extend(picks[index - len(run) : index], run)
            run = []
            if made.invalid and self._fail_on_invalid:
                self._writer.flush()
                self._invalid = Invalid(picks[index].seq, made.reason)
                return
            self._tally.skip(picks[index].cursor, made.reason, selected=made.selected)
        self._writer.extend(picks[len(picks) - len(run) :], run)

    def _made(self, picks: Sequence[Pick]) -> Sequence[_M | Left]:
        sound = [pick for pick in picks if not pick.fault]
        results = self._renderer.render(sound)
        if len(sound) == len(picks):
            return results
        following = iter(results)
        return [Left(pick.fault, selected=False) if pick.fault else next(following) for pick in picks]

    def _within_limit(self, picks: Sequence[Pick]) -> Sequence[Pick]:
        if not self._limit:
            return picks
        room = self._limit - self._tally.selected
        for index, pick in enumerate(picks):
            room -= not pick.fault
            if room < 0:
                return picks[:index]
        return picks


def _size(pick: Pick) -> int:
    return pick.size
