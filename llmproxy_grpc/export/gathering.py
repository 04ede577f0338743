"""Puts typed records into messages, as many as fit."""

from collections.abc import Sequence

from llmproxy_grpc.export.held import Held
from llmproxy_grpc.export.output import Piece, Typed, TypedRecord
from llmproxy_grpc.export.picks import Pick
from llmproxy_grpc.export.progress import FileState
from llmproxy_grpc.export.tally import Tally


class Gatherer:
    """Makes messages of typed records; there are no files then.

    Args:
        tally: Counts what is written.
        chunk_bytes: Size of content that a message is not to exceed, unless one record alone does.
    """

    def __init__(self, tally: Tally, *, chunk_bytes: int) -> None:
        self._tally = tally
        self._chunk_bytes = chunk_bytes
        self._held = Held()
        self._records: list[TypedRecord] = []
        self._size = 0
        self._out: list[Piece] = []

    def reading(self) -> None:
        """Records are read from now on, which come next."""
        self._held.reading()

    def extend(self, picks: Sequence[Pick], made: Sequence[TypedRecord]) -> None:
        """Takes records."""
        for pick, record in zip(picks, made, strict=True):
            self._add(pick, record)

    def _add(self, pick: Pick, made: TypedRecord) -> None:
        body = made.body
        size = 512 if body is None else 512 + len(body.request) + len(body.response)
        size += sum(len(each.content) for each in made.feedback if each.content is not None)
        if self._size + size > self._chunk_bytes and self._records:
            self.flush()
        self._records.append(made)
        self._held.extend([pick])
        self._size += size
        self._tally.write(pick.cursor, 1, {})

    def close(self) -> None:
        """Ends the message."""
        self.flush()

    def flush(self) -> None:
        """Ends the message."""
        if self._records:
            self._out.append(Piece(Typed(self._records), self._tally.progress(FileState()), *self._held.take()))
            self._records, self._size = [], 0

    def take(self) -> list[Piece]:
        """What is ready to be sent."""
        out, self._out = self._out, []
        return out
