"""Which store a configuration means: SQLite in the folder of the records, or a PostgreSQL database."""

from pathlib import Path
from typing import Final
from uuid import uuid4

from llmproxy_grpc.records.places import Places, made_once
from llmproxy_grpc.records.postgres.address import shown
from llmproxy_grpc.records.sqlite.library import check_library
from llmproxy_grpc.records.sqlite.store import SqliteStore, library_version
from llmproxy_grpc.records.store import OpenStore, StoreUnavailable, StoreUnfit

SQLITE: Final = "sqlite"


def opener(store: str, places: Places) -> OpenStore:
    """What opens the store.

    Args:
        store: `sqlite`, or `postgresql://…`.
        places: The folder of the records.

    Raises:
        StoreUnfit: The library of the database is missing, or has a known flaw.
    """
    if store == SQLITE:
        check_library(library_version())
        return lambda: SqliteStore(places.store)
    return _postgres(store, places)


def described(store: str, places: Places) -> str:
    """Where the records are, for people: without user and password."""
    return str(places.folder) if store == SQLITE else shown(store)


def _postgres(address: str, places: Places) -> OpenStore:
    try:
        from llmproxy_grpc.records.postgres.store import PostgresStore  # noqa: PLC0415 - an optional package
    except ImportError:
        raise StoreUnfit("records.store: PostgreSQL takes asyncpg, of the extra `postgres` of llmproxy-grpc") from None
    return lambda: PostgresStore(address, spool=spool_id(places.spool_id))


def spool_id(path: Path) -> str:
    """What tells this host's spool from the others'; made once.

    Raises:
        StoreUnavailable: It can neither be read nor be made.
    """
    try:
        return made_once(path, uuid4().hex.encode()).decode("ascii")
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from error
