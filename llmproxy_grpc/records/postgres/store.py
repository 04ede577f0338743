"""Opens the database of the records, bringing an older schema up to date."""

import re
import time
from collections.abc import Callable
from typing import Final

from llmproxy_grpc.records.postgres.connection import Connection
from llmproxy_grpc.records.postgres.reader import PostgresReader
from llmproxy_grpc.records.postgres.schema import PARTITION_ROWS, migrate
from llmproxy_grpc.records.postgres.writer import STAGES, PostgresWriter
from llmproxy_grpc.records.store import StoreUnfit

SCHEMA: Final = "llmproxy"
EXPORTS: Final = "exports"
"""Names the secret that seals the tokens of exports."""
OLDEST: Final = 130_000
"""The oldest server that is taken: 13, as `server_version_num` has it."""


class PostgresStore:
    """Hands out connections to one database.

    Args:
        address: `postgresql://…`, as libpq takes it.
        clock_us: The wall clock, in microseconds.
        spool: Names the spool of this host, which no other host has.
        schema: The schema of the tables, made if need be: lower-case letters, digits and `_`.
        partition_rows: Positions in a partition; what a database began with must stay.

    Raises:
        StoreUnavailable: It cannot be reached, or refuses us, now.
        StoreUnfit: The server is too old, or the schema is a newer one or another program's.
    """

    def __init__(
        self,
        address: str,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        *,
        spool: str,
        schema: str = SCHEMA,
        partition_rows: int = PARTITION_ROWS,
    ) -> None:
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
            raise ValueError("the schema's name must be lower-case letters, digits and _")
        self._address = address
        self._clock_us = clock_us
        self._spool = spool
        self._schema = schema
        self._partition_rows = partition_rows
        connection = Connection(address, schema)
        try:
            version = connection.query("SELECT current_setting('server_version_num')::int")[0][0]
            if version < OLDEST:
                raise StoreUnfit(f"the server has version {version // 10_000}; PostgreSQL 13 or newer is needed")
            connection.run(lambda session: migrate(session, schema))
        finally:
            connection.close()

    def writer(self) -> PostgresWriter:
        """A session that writes; it is dialled by its first statement."""
        connection = Connection(self._address, self._schema, prepare=STAGES)
        return PostgresWriter(connection, self._spool, self._clock_us, self._partition_rows)

    def reader(self) -> PostgresReader:
        """A session that reads alone; it is dialled by its first statement."""
        return PostgresReader(Connection(self._address, self._schema, read_only=True))

    def shared_key(self, mine: bytes) -> bytes:
        """That of the first host that asked; it is kept with the records, which it does not keep from anybody."""
        connection = Connection(self._address, self._schema)
        try:
            connection.query("INSERT INTO secret VALUES (?, ?) ON CONFLICT DO NOTHING", (EXPORTS, mine))
            key: bytes = connection.query("SELECT value FROM secret WHERE name = ?", (EXPORTS,))[0][0]
            return key
        finally:
            connection.close()
