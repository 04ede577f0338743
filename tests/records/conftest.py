"""The stores that the conformance suite runs on, and records to put into them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.store import RecordReader, RecordStore, RecordWriter


def sqlite_store(folder: Path) -> RecordStore:
    return SqliteStore(folder / "records.sqlite3", lambda: 1_000_000)


STORES: dict[str, Callable[[Path], RecordStore]] = {"sqlite": sqlite_store}


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], RecordStore]:
    """Opens the same store each time."""
    return lambda: STORES[request.param](tmp_path / "store")


@pytest.fixture
def store(open_store: Callable[[], RecordStore]) -> RecordStore:
    return open_store()


@pytest.fixture
def writer(store: RecordStore) -> Iterator[RecordWriter]:
    writer = store.writer()
    yield writer
    writer.close()


@pytest.fixture
def reader(store: RecordStore) -> Iterator[RecordReader]:
    reader = store.reader()
    yield reader
    reader.close()
