"""An export's blocking work in a thread of its own, seen from the event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from llmproxy_grpc.export.export import Export
from llmproxy_grpc.export.job import Header, Summary
from llmproxy_grpc.export.output import Piece
from llmproxy_grpc.export.progress import Progress
from llmproxy_grpc.export.tokens import Position
from llmproxy_grpc.records.store import RecordReader, RecordStore

_R = TypeVar("_R")

Open = Callable[[RecordReader, Callable[[], None]], Export]
"""Opens the export on a connection of its own; the other argument raises once the caller has left."""


class Left(Exception):
    """The caller has left, and nobody waits for the result."""


class ExportThread:
    """Runs one export; it owns the thread and the connection to the store.

    Args:
        store: Where the records are.
        open_export: Opens it.
    """

    def __init__(self, store: Callable[[], RecordStore], open_export: Open) -> None:
        self._store = store
        self._open = open_export
        self._left = threading.Event()
        self._busy = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="export")
        self._reader: RecordReader | None = None
        self._export: Export | None = None

    async def open(self) -> tuple[Header, Position]:
        """Opens the export: what will come, and where it begins."""
        return await self._run(self._opened)

    def step(self) -> "asyncio.Future[tuple[list[Piece], bool]]":
        """Begins the next step; one at a time."""
        return self._start(self._need().step)

    async def intact(self, piece: Piece) -> bool:
        """Whether all records of a message are still there."""
        return await self._run(partial(self._need().intact, piece))

    async def rewind(self, progress: Progress) -> None:
        """Goes back to behind a message; steps that have begun are in vain."""
        await self._run(partial(self._need().rewind, progress))

    async def summary(self) -> tuple[Summary, Position]:
        """What came, after the last step."""
        return await self._run(self._need().summary)

    def at(self, piece: Piece) -> Position:
        """Where the export is after a message."""
        return self._need().at(piece.progress)

    async def aclose(self) -> None:
        """Ends what still runs, and closes the connection; the thread ends on its own."""
        if self._left.is_set():
            return
        self._left.set()
        if self._reader is not None and self._busy:
            self._reader.interrupt()
        closing = self._start(self._close)
        self._thread.shutdown(wait=False)
        await asyncio.shield(closing)

    def _opened(self) -> tuple[Header, Position]:
        self._reader = self._store().reader()
        self._export = self._open(self._reader, self._check)
        return self._export.header, self._export.position

    def _close(self) -> None:
        if self._export is not None:
            self._export.close()
        if self._reader is not None:
            self._reader.close()

    def _check(self) -> None:
        if self._left.is_set():
            raise Left

    def _need(self) -> Export:
        assert self._export is not None  # noqa: S101 - opened first
        return self._export

    def _start(self, work: Callable[[], _R]) -> "asyncio.Future[_R]":
        def busy() -> _R:
            self._busy = True
            try:
                return work()
            finally:
                self._busy = False

        future = asyncio.get_running_loop().run_in_executor(self._thread, busy)
        future.add_done_callback(_seen)
        return future

    async def _run(self, work: Callable[[], _R]) -> _R:
        return await self._start(work)


def _seen(future: "asyncio.Future[Any]") -> None:
    """Looks at an error: of a step that is in vain by then nobody else does, and asyncio would log it."""
    if not future.cancelled():
        future.exception()
