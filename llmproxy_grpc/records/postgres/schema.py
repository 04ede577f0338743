"""The tables, version by version: each migration brings the schema to the next version, and none is ever changed.

Big tables are partitioned by position, so that a partition of which all has expired is dropped at once. Texts
compare by their bytes, as those of SQLite do. Row-level security is a second fence around tenants: a session sees the
rows of the tenant that it has named, whatever a statement says; a superuser is not held by it, so do not connect as
one.
"""

from typing import Final

import asyncpg

from llmproxy_grpc.records.store import StoreUnfit

PARTITIONED: Final = ("record", "body", "line", "label")
"""In the order in which they are locked: who needs several comes upon `record` first, or on `body` before `line`."""
PARTITION_ROWS: Final = 1_000_000

LOCK: Final = "SELECT value FROM counter WHERE name IN ('fseq', 'seq') ORDER BY name FOR UPDATE"
"""Whoever stores records holds this until the commit."""

UNSAMPLED: Final = (
    ("record", "error", "bytea"),
    ("record", "labels", 'text COLLATE "C"'),
    ("body", "request", "bytea"),
    ("body", "response", "bytea"),
    ("line", "line", "bytea"),
    ("feedback", "content", "bytea"),
)
"""Content, by table, column and type: the planner has no use for samples of it, and they would outlive its erasure."""

_RULED: Final = (*PARTITIONED, "watermark", "feedback", "tombstone")


_FIRST: Final = """
CREATE TABLE counter (name text PRIMARY KEY, value bigint NOT NULL);
INSERT INTO counter VALUES ('seq', 0), ('fseq', 0), ('expired', 0);

CREATE TABLE watermark (
    tenant text COLLATE "C" PRIMARY KEY,
    seq bigint NOT NULL DEFAULT 0,
    fseq bigint NOT NULL DEFAULT 0
);

CREATE TABLE record (
    seq bigint PRIMARY KEY,
    id bytea NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint NOT NULL,
    ingested_at bigint NOT NULL,
    caller_key_id text COLLATE "C" NOT NULL,
    end_user text COLLATE "C" NOT NULL,
    conversation text COLLATE "C" NOT NULL,
    parent_id bytea,
    model text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    upstream_model text COLLATE "C" NOT NULL,
    attempts bigint NOT NULL,
    fell_back boolean NOT NULL,
    grpc_code bigint NOT NULL,
    error_reason text COLLATE "C" NOT NULL,
    error bytea,
    finish_reasons bigint NOT NULL,
    complete boolean NOT NULL,
    input_tokens bigint,
    output_tokens bigint,
    total_tokens bigint,
    cached_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    usage_source bigint NOT NULL,
    cost_nanos bigint,
    cost_currency text COLLATE "C" NOT NULL,
    latency_us bigint NOT NULL,
    ttft_us bigint,
    messages bigint NOT NULL,
    content_bytes bigint NOT NULL,
    has_tool_calls boolean NOT NULL,
    has_media boolean NOT NULL,
    data_policy bigint NOT NULL,
    training_ok boolean NOT NULL,
    labels text COLLATE "C" NOT NULL,
    dkey bytea,
    input_hash bytea,
    full_hash bytea,
    ancestors bytea NOT NULL,
    schema_version bigint NOT NULL
) PARTITION BY RANGE (seq);
CREATE INDEX record_started ON record (tenant, started_at);
CREATE INDEX record_model ON record (tenant, model, started_at);
CREATE INDEX record_conversation ON record (tenant, conversation);
CREATE INDEX record_end_user ON record (tenant, end_user) WHERE end_user <> '';
CREATE INDEX record_full_hash ON record (full_hash) WHERE full_hash IS NOT NULL;
CREATE INDEX record_by_id ON record (id);

CREATE TABLE record_key (id bytea PRIMARY KEY, seq bigint NOT NULL);

CREATE TABLE body (
    seq bigint PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    codec smallint NOT NULL,
    request bytea NOT NULL,
    response bytea NOT NULL
) PARTITION BY RANGE (seq);

CREATE TABLE line (
    seq bigint PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    codec smallint NOT NULL,
    fault text COLLATE "C" NOT NULL,
    line bytea
) PARTITION BY RANGE (seq);

CREATE TABLE label (
    tenant text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (tenant, key, value, seq)
) PARTITION BY RANGE (seq);
CREATE INDEX label_seq ON label (seq);

CREATE TABLE feedback (
    fseq bigint PRIMARY KEY,
    id bytea NOT NULL UNIQUE,
    tenant text COLLATE "C" NOT NULL,
    record_id bytea NOT NULL,
    name text COLLATE "C" NOT NULL,
    kind bigint NOT NULL,
    number double precision,
    content bytea,
    source text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL
);
CREATE INDEX feedback_record ON feedback (record_id, name, kind, source, fseq);
CREATE INDEX feedback_number ON feedback (tenant, name, kind, number);

CREATE TABLE tombstone (
    id bytea PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    reason text COLLATE "C" NOT NULL,
    at bigint NOT NULL
);
CREATE INDEX tombstone_seq ON tombstone (tenant, seq);

CREATE TABLE segment (spool text, name text, position bigint NOT NULL, PRIMARY KEY (spool, name));

CREATE TABLE open_call (
    spool text NOT NULL,
    id bytea PRIMARY KEY,
    worker text NOT NULL,
    tenant text NOT NULL,
    method text NOT NULL,
    started_at bigint NOT NULL,
    caller_key_id text NOT NULL
);
"""
_RULES: Final = "".join(
    f"""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON {table} USING (
    tenant = current_setting('llmproxy.tenant', true) OR current_setting('llmproxy.tenant', true) = '*'
);
"""
    for table in _RULED
)

_REWRITING: Final = """
CREATE TABLE rewriting (name text PRIMARY KEY, round bigint NOT NULL);
"""
"""Names of tables whose deleted rows an erasure has still to overwrite, and how often that was asked for."""

_SAMPLING: Final = "".join(
    f"""
ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind};
ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0;
"""
    for table, column, kind in UNSAMPLED
)
"""The type that a column has already: nothing is written anew, but the samples that were taken are dropped."""

_SHARED: Final = """
CREATE TABLE secret (name text PRIMARY KEY, value bytea NOT NULL);
"""
"""What all hosts have to know."""

MIGRATIONS: Final = (_FIRST + _RULES, _REWRITING, _SAMPLING, _SHARED)
"""From version n to n + 1, at place n."""

_LOCK: Final = 0x6C6C6D70
"""Of the advisory lock that one process holds while it migrates: `llmp`."""


async def migrate(session: asyncpg.Connection, schema: str, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Brings a schema to the newest version in one transaction; several hosts that start at once wait for each other.

    Raises:
        StoreUnfit: A newer version of this program wrote it, or another program did, or has a view on it.
    """
    async with session.transaction():
        await session.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        if not await session.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", schema):
            await session.execute(f'CREATE SCHEMA "{schema}"')
        version = await _version(session, schema)
        if version > len(migrations):
            raise StoreUnfit(
                f"the schema of the records has version {version}, and this program knows {len(migrations)}: "
                "a newer llmproxy wrote it; use that one"
            )
        try:
            for migration in migrations[version:]:
                await session.execute(migration)
        except asyncpg.FeatureNotSupportedError as error:
            raise StoreUnfit(
                f"the tables of the records cannot be brought up to date: {error.detail}; drop it, "
                "and make it again when the server has started"
            ) from error
        if version < len(migrations):
            await session.execute("UPDATE llmproxy_schema SET version = $1", len(migrations))


async def _version(session: asyncpg.Connection, schema: str) -> int:
    """The schema's version; 0 for an empty one, which is marked as ours."""
    tables = {
        row["relname"]
        for row in await session.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)",
            schema,
        )
    }
    if "llmproxy_schema" in tables:
        version: int = await session.fetchval("SELECT version FROM llmproxy_schema")
        return version
    if tables:
        raise StoreUnfit(f"the schema {schema} holds tables of another program")
    await session.execute("CREATE TABLE llmproxy_schema (version integer NOT NULL)")
    await session.execute("INSERT INTO llmproxy_schema VALUES (0)")
    return 0


def partition_of(seq: int, rows: int) -> int:
    """The number of the partition that a position is in."""
    return seq // rows


def partition_statements(number: int, rows: int) -> list[str]:
    """Makes one partition of each table, if it is not there."""
    low, high = number * rows, (number + 1) * rows
    made = [
        f"CREATE TABLE IF NOT EXISTS {table}_{number} PARTITION OF {table} FOR VALUES FROM ({low}) TO ({high})"
        for table in PARTITIONED
    ]
    # What is set of a column does not pass to partitions that are made later.
    unsampled = [
        f"ALTER TABLE {table}_{number} ALTER COLUMN {column} SET STATISTICS 0"
        for table, column, _ in UNSAMPLED
        if table in PARTITIONED
    ]
    return made + unsampled
