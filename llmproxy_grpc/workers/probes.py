"""What one worker's probe finds out of a provider, the others need not ask again."""

from collections.abc import Iterator, Mapping
from typing import Final

from llmproxy_grpc.errors import ProxyError, UpstreamError
from llmproxy_grpc.health.monitor import Monitor
from llmproxy_grpc.health.tracker import HealthTracker
from llmproxy_grpc.workers.shared import SharedTable

PREFIX: Final = "probe/"
KEPT: Final = 1.0
"""Seconds: news of a probe are none for a worker that starts later."""


def share_probes(table: SharedTable, tracker: HealthTracker, monitor: Monitor) -> None:
    """Has the other workers learn from this one's probes, and this one from theirs: all together probe as one."""

    def tell(provider: str, error: ProxyError | None) -> None:
        table.publish(f"{PREFIX}{provider}", ("" if error is None else error.reason).encode(), seconds=KEPT)

    def take(key: str, value: bytes, _seconds: float) -> None:
        provider, reason = key.removeprefix(PREFIX), value.decode()
        tracker.take_probe(provider, _error_of(reason) if reason else None)
        monitor.postpone(provider)

    table.subscribe(PREFIX, take)
    tracker.listen_to_probes(tell)


def _error_of(reason: str) -> ProxyError:
    kind = REASONS.get(reason, UpstreamError)
    return kind("Another worker's probe failed.")


def _kinds(kind: type[ProxyError]) -> Iterator[type[ProxyError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


REASONS: Final[Mapping[str, type[ProxyError]]] = {kind.reason: kind for kind in _kinds(ProxyError) if kind.reason}
"""The errors by their reasons."""
