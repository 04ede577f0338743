"""The tables, version by version: each migration brings a file to the next version, and none is ever changed."""

from typing import Final

import apsw

from llmproxy_grpc.records.sqlite.connection import transaction
from llmproxy_grpc.records.store import StoreUnfit

APPLICATION_ID: Final = 0x6C6C6D70
"""Marks our files: `llmp`."""

_FIRST: Final = """
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO counter VALUES ('seq', 0), ('fseq', 0), ('expired', 0);

CREATE TABLE watermark (
    tenant TEXT PRIMARY KEY,
    seq INTEGER NOT NULL DEFAULT 0,
    fseq INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE record (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    tenant TEXT NOT NULL,
    method TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    ingested_at INTEGER NOT NULL,
    caller_key_id TEXT NOT NULL,
    end_user TEXT NOT NULL,
    conversation TEXT NOT NULL,
    parent_id BLOB,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    upstream_model TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    fell_back INTEGER NOT NULL,
    grpc_code INTEGER NOT NULL,
    error_reason TEXT NOT NULL,
    error BLOB,
    finish_reasons INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    total_tokens INTEGER,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    usage_source INTEGER NOT NULL,
    cost_nanos INTEGER,
    cost_currency TEXT NOT NULL,
    latency_us INTEGER NOT NULL,
    ttft_us INTEGER,
    messages INTEGER NOT NULL,
    content_bytes INTEGER NOT NULL,
    has_tool_calls INTEGER NOT NULL,
    has_media INTEGER NOT NULL,
    data_policy INTEGER NOT NULL,
    training_ok INTEGER NOT NULL,
    labels TEXT NOT NULL,
    dkey BLOB,
    input_hash BLOB,
    full_hash BLOB,
    ancestors BLOB NOT NULL,
    schema_version INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX record_id ON record (id);
CREATE INDEX record_started ON record (tenant, started_at);
CREATE INDEX record_model ON record (tenant, model, started_at);
CREATE INDEX record_conversation ON record (tenant, conversation);
CREATE INDEX record_end_user ON record (tenant, end_user) WHERE end_user <> '';
CREATE INDEX record_full_hash ON record (full_hash) WHERE full_hash IS NOT NULL;

CREATE TABLE body (
    seq INTEGER PRIMARY KEY,
    codec INTEGER NOT NULL,
    request BLOB NOT NULL,
    response BLOB NOT NULL
) STRICT;

CREATE TABLE line (
    seq INTEGER PRIMARY KEY,
    codec INTEGER NOT NULL,
    fault TEXT NOT NULL,
    line BLOB
) STRICT;

CREATE TABLE label (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (tenant, key, value, seq)
) WITHOUT ROWID, STRICT;

CREATE TABLE feedback (
    fseq INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    tenant TEXT NOT NULL,
    record_id BLOB NOT NULL,
    name TEXT NOT NULL,
    kind INTEGER NOT NULL,
    number REAL,
    content BLOB,
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX feedback_id ON feedback (id);
CREATE INDEX feedback_record ON feedback (record_id, name, kind, source, fseq);
CREATE INDEX feedback_number ON feedback (tenant, name, kind, number);

CREATE TABLE tombstone (
    id BLOB PRIMARY KEY,
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX tombstone_seq ON tombstone (tenant, seq);

CREATE TABLE segment (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE open_call (
    id BLOB PRIMARY KEY,
    worker TEXT NOT NULL,
    tenant TEXT NOT NULL,
    method TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    caller_key_id TEXT NOT NULL
) WITHOUT ROWID, STRICT;
"""

MIGRATIONS: Final = (_FIRST,)
"""From version n to n + 1, at place n."""


def migrate(connection: apsw.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Brings a file to the newest version in one transaction; one that is there already is left alone.

    Raises:
        StoreUnfit: A newer version of this program wrote the file, or another program did.
    """
    if is_current(connection, migrations):
        return
    with transaction(connection):
        version = _version(connection)
        if version > len(migrations):
            raise StoreUnfit(
                f"the file of the records has version {version}, and this program knows {len(migrations)}: "
                "a newer llmproxy wrote it; use that one"
            )
        if version:
            _check_owner(connection)
        elif _has_tables(connection):
            raise StoreUnfit("the file of the records is a database of another program")
        for migration in migrations[version:]:
            connection.execute(migration).fetchall()
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", len(migrations))


def is_current(connection: apsw.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> bool:
    """Whether a file has the newest version; raises StoreUnfit if that is another program's."""
    if _version(connection) != len(migrations):
        return False
    _check_owner(connection)
    return True


def _version(connection: apsw.Connection) -> int:
    version: int = connection.pragma("user_version")
    return version


def _has_tables(connection: apsw.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None


def _check_owner(connection: apsw.Connection) -> None:
    if connection.pragma("application_id") != APPLICATION_ID:
        raise StoreUnfit("the file of the records is a database of another program")
