"""The stores that the conformance suite runs on, and records to put into them."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from llmproxy_grpc.records.postgres.store import PostgresStore
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.store import RecordReader, RecordStore, RecordWriter
from tests.fakes.ingester_bench import Bench
from tests.fakes.postgres import PostgresServer


def sqlite_store(folder: Path) -> RecordStore:
    return SqliteStore(folder / "records.sqlite3", lambda: 1_000_000)


@pytest.fixture
def postgres_store(postgres: PostgresServer) -> Callable[..., PostgresStore]:
    """Opens the same schema each time."""
    schema = f"test_{next(_schemas)}"

    def opened(
        *, clock_us: Callable[[], int] = lambda: 1_000_000, spool: str = "host", partition_rows: int = 8
    ) -> PostgresStore:
        return PostgresStore(postgres.address, clock_us, spool=spool, schema=schema, partition_rows=partition_rows)

    opened.schema = schema  # type: ignore[attr-defined]
    return opened


_schemas = count(1)
STORES = ("sqlite", "postgres")


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], RecordStore]:
    """Opens the same store each time."""
    if request.param == "postgres":
        opened: Callable[[], RecordStore] = request.getfixturevalue("postgres_store")
        return opened
    return lambda: sqlite_store(tmp_path / "store")


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


@pytest.fixture
def bench(tmp_path: Path, open_store: Callable[[], RecordStore]) -> Iterator[Bench]:
    """An ingester over the store."""
    bench = Bench(tmp_path, open_store)
    yield bench
    bench.writer.close()
