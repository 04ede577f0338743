"""`llmproxyctl health`: how the proxy and its providers are, once or again and again."""

import time
from collections.abc import Callable

import grpc
from google.protobuf.duration_pb2 import Duration

from llmproxy_client.client import Client
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.errors import error_detail
from llmproxy_client.names import short
from llmproxy_client.v1.error_pb2 import ErrorReason
from llmproxy_client.v1.health_pb2 import (
    SERVING_STATUS_DEGRADED,
    SERVING_STATUS_SERVING,
    CircuitState,
    HealthRequest,
    HealthResponse,
    ProviderHealth,
    ServingStatus,
)

WATCH_SECONDS = 2.0
_HEAD = ("PROVIDER", "KIND", "STATUS", "CIRCUIT", "ERRORS", "TTFT P50", "TTFT P95", "IN FLIGHT", "LAST ERROR")


def show(client: Client, terminal: Terminal, *, as_json: bool, timeout: float | None) -> bool:
    """Prints how things are; returns whether the proxy serves, be it degraded."""
    health = client.stub.Health(HealthRequest(), timeout=timeout)
    if as_json:
        terminal.json(health)
    else:
        _print(health, terminal)
    return health.status in (SERVING_STATUS_SERVING, SERVING_STATUS_DEGRADED)


def watch(
    client: Client,
    terminal: Terminal,
    *,
    as_json: bool,
    timeout: float | None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Prints how things are every two seconds until interrupted; a proxy that is away is reported, and awaited."""
    while True:
        try:
            show(client, terminal, as_json=as_json, timeout=timeout)
        except grpc.RpcError as error:
            terminal.failure(error_detail(error))
        sleep(WATCH_SECONDS)
        if not as_json:
            terminal.next_page()


def _print(health: HealthResponse, terminal: Terminal) -> None:
    terminal.table(_summary(health))
    if health.providers:
        terminal.line("")
        terminal.table([_HEAD, *(_row(provider) for provider in health.providers)])


def _summary(health: HealthResponse) -> list[tuple[str, str]]:
    rows = [("status", short(ServingStatus.DESCRIPTOR, health.status)), ("version", health.version)]
    if health.HasField("start_time"):
        rows.append(("started", health.start_time.ToJsonString()))
    if health.HasField("load"):
        load = health.load
        rows.append(("load", f"calls {load.active_calls}, streams {load.active_streams}, of {load.admission_limit}"))
    return rows


def _row(provider: ProviderHealth) -> tuple[str, ...]:
    return (
        provider.provider,
        provider.kind,
        short(ServingStatus.DESCRIPTOR, provider.status),
        short(CircuitState.DESCRIPTOR, provider.circuit),
        f"{provider.error_rate:.0%}",
        _milliseconds(provider.time_to_first_token_p50),
        _milliseconds(provider.time_to_first_token_p95),
        str(provider.in_flight),
        short(ErrorReason.DESCRIPTOR, provider.last_error),
    )


def _milliseconds(duration: Duration) -> str:
    total = duration.seconds * 1000 + duration.nanos / 1e6
    return f"{total:.0f} ms" if total else ""
