"""Where the records of an export come from: straight from the store, in its order, or from a frozen plan."""

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from llmproxy_grpc.datasets.options import Format
from llmproxy_grpc.datasets.skipping import SkipReason
from llmproxy_grpc.export.scan import Scanner
from llmproxy_grpc.export.spec import WITHOUT_CONTENT, Choice, Part
from llmproxy_grpc.records.filters import Window
from llmproxy_grpc.records.store import RecordReader, Row

NO_TRAINING: Final = "no_training"
"""The caller's data policy excludes training."""
NO_CONTENT: Final = SkipReason.NO_CONTENT.value

COLUMNS: Final = ("seq", "content_bytes", "training_ok", "messages")
FIRST_BLOCK: Final = 512
LARGEST_BLOCK: Final = 8192
"""Rows that are looked up at once: few at first, so that the first chunk leaves soon."""


class Pick(Struct, frozen=True, gc=False):
    """One record that is to be written, or whose turn it is to be left out for a known reason.

    `cursor` is its place, `rejected` the other record of a pair, `size` about that of its content in bytes.
    """

    cursor: int
    seq: int
    size: int
    part: Part = Part.ALL
    rejected: int | None = None
    fault: str = ""


class Picks(Protocol):
    """Records in the order in which they are written."""

    def block(self, after: int) -> tuple[Sequence[Pick], int, bool]:
        """Looks on behind a place, for a bounded time.

        Returns:
            The next records, the place up to which has been looked, and whether that is the end.
        """
        ...


class StorePicks:
    """Every matching record as it is stored.

    Args:
        reader: The store.
        choice: The filter, and which records may be used.
        window: Where to look.
        form: What will be written.
    """

    def __init__(self, reader: RecordReader, choice: Choice, window: Window, form: Format | None) -> None:
        self._scanner = Scanner(reader, choice.filter, window, COLUMNS)
        self._end = window.as_of_seq
        self._training_alone = not choice.selection.include_no_training
        self._content_alone = form not in WITHOUT_CONTENT
        self._rows = FIRST_BLOCK

    def block(self, after: int) -> tuple[Sequence[Pick], int, bool]:
        """The next matching records."""
        block = self._scanner.block(after, self._rows)
        self._rows = min(self._rows * 2, LARGEST_BLOCK)
        return list(map(self._pick, block.rows)), block.reached, block.reached >= self._end

    def _pick(self, row: Row) -> Pick:
        seq, size, training_ok, messages = row
        if training_ok and messages:
            return Pick(seq, seq, size)
        fault = ""
        if self._training_alone and not training_ok:
            fault = NO_TRAINING
        elif self._content_alone and not messages:
            fault = NO_CONTENT
        return Pick(seq, seq, size, fault=fault)
