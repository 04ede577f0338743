"""Tells the observers that a call started and, exactly once, how it ended."""

import time
from collections.abc import Sequence
from typing import Final

import structlog

from llmproxy_grpc.calls import Audience, CallObserver, Outcome
from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.exceptions import anonymous, forget_frames, verdict
from llmproxy_grpc.server.rpc import Proceed, Rpc
from llmproxy_grpc.server.status import code_of

log = structlog.get_logger(__name__)

MOST_DIGITS: Final = 9


class Observation:
    """The interceptor that tells metrics, logs and whoever else listens."""

    def __init__(self, observers: Sequence[CallObserver]) -> None:
        self._audience = Audience.of(observers)

    async def __call__(self, rpc: Rpc, proceed: Proceed) -> None:
        """Watches one call."""
        previous = rpc.metadata.get("grpc-previous-rpc-attempts")
        if isinstance(previous, str) and previous.isdecimal() and len(previous) <= MOST_DIGITS:
            rpc.call.previous_attempts = int(previous)
        for tell in self._audience.call_started:
            tell(rpc.call)
        try:
            await proceed(rpc)
        except BaseException as raised:
            self._tell(rpc, verdict(raised))
            raise
        self._tell(rpc, None)

    def _tell(self, rpc: Rpc, error: ProxyError | None) -> None:
        duration = time.monotonic() - rpc.call.started_at
        if error is None:
            outcome = Outcome("OK", "", duration)
        else:
            outcome = Outcome(code_of(error).name, error.reason, duration, error)
        for tell in self._audience.call_ended:
            try:
                tell(rpc.call, outcome)
            except Exception as exception:  # noqa: BLE001 - what fails to watch a call must not fail the call
                log.error("observer_failed", request_id=rpc.call.request_id, **anonymous(exception))
        for attempt in rpc.call.attempts:
            if attempt.error is not None:
                forget_frames(attempt.error)
