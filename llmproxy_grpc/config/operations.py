"""How calls are timed, repeated, watched, kept and limited: the sections that operators tune."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from llmproxy_grpc.config.durations import Duration, PositiveDuration
from llmproxy_grpc.config.section import Flag, Number, Section, Text, Whole


class TimeoutsConfig(Section):
    """Time limits of one call; the caller's own deadline holds as well."""

    connect: Annotated[PositiveDuration, Field(description="To connect to a provider, TLS included.")] = 3.0
    first_token: Annotated[
        PositiveDuration,
        Field(
            description="To a stream's first output, for each attempt; the least that an attempt of Chat gets that has "
            "other targets behind it."
        ),
    ] = 30.0
    idle: Annotated[PositiveDuration, Field(description="Longest silence of a provider within a stream.")] = 60.0
    unary: Annotated[PositiveDuration, Field(description="Longest call other than a stream.")] = 600.0
    stream: Annotated[PositiveDuration, Field(description="Longest stream.")] = 1800.0
    write: Annotated[PositiveDuration, Field(description="Longest wait for a caller that does not read.")] = 60.0


class ConnectionsConfig(Section):
    """Connections to providers."""

    most: Annotated[
        Whole | None, Field(ge=1, le=1_000_000, description="Most at a time, to all providers; null: no limit.")
    ] = None
    keepalive: Annotated[Duration, Field(description="How long an idle one is kept for the next call.")] = 60.0


class RetriesConfig(Section):
    """How often a call is tried."""

    max_attempts: Annotated[Whole, Field(ge=1, le=6, description="Most attempts of one call, over all targets.")] = 3
    budget_ratio: Annotated[
        Number,
        Field(
            ge=0,
            le=1,
            description="Credit for retries that each call adds to its provider's budget; a retry costs 1.4, after a "
            "rate limit or an overload 0.5. Besides there is a credit of 1 a second.",
        ),
    ] = 0.1


class BreakerConfig(Section):
    """When a failing target is left alone."""

    failure_ratio: Annotated[Number, Field(gt=0, le=1, description="Share of failures that opens it.")] = 0.5
    minimum_calls: Annotated[Whole, Field(ge=1, description="Calls before the share counts.")] = 20
    consecutive_failures: Annotated[Whole, Field(ge=1, description="Failures in a row that open it.")] = 5
    open: Annotated[PositiveDuration, Field(description="How long it stays open at first.")] = 5.0
    max_open: Annotated[PositiveDuration, Field(description="How long it stays open at most.")] = 60.0


class HedgingConfig(Section):
    """A second attempt, at another target, beside a stream that is slow to begin; the first output wins."""

    enabled: Annotated[Flag, Field(description="Whether streams get one. Both may have to be paid for.")] = False
    max_ratio: Annotated[
        Number, Field(ge=0, le=1, description="Most streams that get one, as a share of those of the last minute.")
    ] = 0.02


class SheddingConfig(Section):
    """Which calls are refused, and when, because the proxy itself has too much to do."""

    loop_lag: Annotated[
        PositiveDuration | None,
        Field(description="How late the event loop may run before sheddable calls are refused; null: no reason."),
    ] = 0.1
    memory: Annotated[
        Number | None,
        Field(gt=0, le=1, description="Share of the memory from which on they are refused; null: no reason."),
    ] = 0.85
    wait: Annotated[
        Duration, Field(description="How long a call may wait for one of the `grpc.max_in_flight` to end.")
    ] = 0.5


class HealthConfig(Section):
    """Probes of the providers, which generate no token."""

    interval: Annotated[PositiveDuration, Field(description="Time between two probes of a provider.")] = 30.0
    timeout: Annotated[PositiveDuration, Field(description="Longest wait for a probe's answer.")] = 5.0


def _store(text: str) -> str:
    if text != "sqlite" and not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be sqlite, or begin with postgresql://")
    return text


class RecordsConfig(Section):
    """What is kept of calls."""

    enabled: Annotated[Flag, Field(description="Whether calls are recorded.")] = True
    directory: Annotated[
        Text, Field(description="Folder of the records, seen from where the server starts; made for its owner alone.")
    ] = "./llmproxy-data"
    store: Annotated[
        Text,
        AfterValidator(_store),
        Field(
            description="`sqlite`, in the folder, or a PostgreSQL database: `postgresql://USER@HOST/DATABASE`; the "
            "password is better in PGPASSWORD or a file of passwords."
        ),
    ] = "sqlite"
    content: Annotated[
        Literal["full", "metadata"],
        Field(
            description="Whether prompts, answers, comments and demonstrations are kept; a call's own `data` can only "
            "narrow it."
        ),
    ] = "full"
    end_user: Annotated[
        Literal["raw", "hash"],
        Field(description="How end users' ids are kept: as they are, or as a hash by a key in the folder."),
    ] = "raw"
    durability: Annotated[
        Literal["spool", "durable", "async"],
        Field(
            description="What an answer waits for: `spool`, its record's write, 20 ms at most; `durable`, that it "
            "survives a power cut; `async`, nothing."
        ),
    ] = "spool"
    retention: Annotated[PositiveDuration, Field(description="How long records are kept.")] = 2_592_000.0


class AuthConfig(Section):
    """Who may call."""

    mode: Annotated[Literal["none", "keys", "jwt", "mtls"], Field(description="How callers prove who they are.")] = (
        "none"
    )


class TelemetryConfig(Section):
    """What the server tells about itself."""

    log_format: Annotated[Literal["json", "console"], Field(description="Form of the log's lines.")] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least severity that is logged.")
    ] = "info"
    otlp_endpoint: Annotated[Text | None, Field(description="Where traces are sent; null: nowhere.")] = None


Limits = Annotated[tuple[Any, ...], Field(description="Rate limits of callers.")]
