"""Stores with recorded conversations, and a server that exports them."""

from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from llmproxy_grpc.records.postgres.store import PostgresStore
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.store import RecordStore
from tests.fakes.exports import Exporting, exporting

_schemas = count(1)
STORES = ("sqlite", "postgres")


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], RecordStore]:
    """Opens the same store each time."""
    if request.param == "postgres":
        address = request.getfixturevalue("postgres").address
        schema = f"export_{next(_schemas)}"
        with ThreadPoolExecutor(1) as thread:
            opening = thread.submit(PostgresStore, address, lambda: 1_000_000, spool="host", schema=schema)
            kept: RecordStore = opening.result()
    else:
        kept = SqliteStore(tmp_path / "store" / "records.sqlite3", lambda: 1_000_000)
    return lambda: kept


class InAThread:
    """A connection whose calls run in a thread, as they do in the server, and are waited for."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._connection = self._thread.submit(connect).result()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            return self._thread.submit(getattr(self._connection, name), *values).result()

        return call

    def end(self) -> None:
        self.close()
        self._thread.shutdown()


@pytest.fixture
def writer(open_store: Callable[[], RecordStore]) -> Iterator[InAThread]:
    writer = InAThread(lambda: open_store().writer())
    yield writer
    writer.end()


@pytest.fixture
def reader(open_store: Callable[[], RecordStore]) -> Iterator[InAThread]:
    reader = InAThread(lambda: open_store().reader())
    yield reader
    reader.end()


@pytest.fixture
async def server(open_store: Callable[[], RecordStore], tmp_path: Path) -> AsyncIterator[Exporting]:
    async with exporting(open_store, tmp_path) as serving:
        yield serving
