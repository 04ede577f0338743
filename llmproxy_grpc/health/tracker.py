"""How each provider is: a pure state machine, fed by attempts and probes, with the clock passed in."""

from collections import deque
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from statistics import quantiles
from typing import Final

from msgspec import Struct

from llmproxy_grpc.calls import Attempt, Call, CallObserver
from llmproxy_grpc.errors import (
    ProxyError,
    UpstreamError,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
)

WINDOW: Final = 60.0
"""Seconds that an attempt or probe counts for the rates."""
FAILURES_DOWN: Final = 3
SUCCESSES_UP: Final = 2
MOST_SAMPLES: Final = 512


class ProviderState(Struct, frozen=True):
    """What is known of one provider; times to first token in seconds, rates over the last minute."""

    serving: bool
    last_success: datetime | None
    last_failure: datetime | None
    last_error: ProxyError | None
    checked: datetime | None
    error_rate: float
    first_token_p50: float | None
    first_token_p95: float | None
    in_flight: int


class _Evidence(Struct):
    """What has been seen of one provider."""

    samples: deque[tuple[float, bool, float | None]]
    serving: bool = True
    failures: int = 0
    successes: int = 0
    in_flight: int = 0
    last_success: datetime | None = None
    last_failure: datetime | None = None
    last_error: ProxyError | None = None


class HealthTracker(CallObserver):
    """A CallObserver that keeps the state of every provider; without evidence a provider serves.

    Three failures in a row take it down, two successes bring it back. What is the caller's fault, a rate limit or a
    spent quota says nothing about whether the provider serves.
    """

    def __init__(self, clock: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._clock = clock
        self._now = now
        self._evidence: dict[str, _Evidence] = {}

    def state(self, provider: str) -> ProviderState:
        """How a provider is."""
        evidence = self._of(provider)
        self._expire(evidence)
        failed = sum(1 for _, good, _ in evidence.samples if not good)
        first_tokens = [seconds for _, _, seconds in evidence.samples if seconds is not None]
        p50, p95 = _percentiles(first_tokens)
        seen = [time for time in (evidence.last_success, evidence.last_failure) if time is not None]
        return ProviderState(
            serving=evidence.serving,
            last_success=evidence.last_success,
            last_failure=evidence.last_failure,
            last_error=evidence.last_error,
            checked=max(seen, default=None),
            error_rate=failed / len(evidence.samples) if evidence.samples else 0.0,
            first_token_p50=p50,
            first_token_p95=p95,
            in_flight=evidence.in_flight,
        )

    def serving(self, provider: str) -> bool:
        """Whether a provider serves, as far as is known."""
        evidence = self._evidence.get(provider)
        return evidence is None or evidence.serving

    def keep(self, providers: Container[str]) -> None:
        """Forgets the providers that are gone."""
        self._evidence = {name: evidence for name, evidence in self._evidence.items() if name in providers}

    def record(self, provider: str, error: ProxyError | None, first_token: float | None = None) -> None:
        """Takes the result of a probe or an attempt; None is a success."""
        evidence = self._of(provider)
        if error is not None and not _counts(error):
            return
        evidence.samples.append((self._clock(), error is None, first_token))
        if error is None:
            evidence.last_success = self._now()
            evidence.successes, evidence.failures = evidence.successes + 1, 0
            evidence.serving = evidence.serving or evidence.successes >= SUCCESSES_UP
            return
        evidence.last_failure, evidence.last_error = self._now(), error
        evidence.failures, evidence.successes = evidence.failures + 1, 0
        evidence.serving = evidence.serving and evidence.failures < FAILURES_DOWN

    def attempt_started(self, _call: Call, provider: str, _upstream_model: str) -> None:
        """One more in flight."""
        self._of(provider).in_flight += 1

    def attempt_ended(self, _call: Call, attempt: Attempt) -> None:
        """One less in flight, and a success or a failure; of a provider that a reload has removed, nothing."""
        if attempt.provider not in self._evidence:
            return
        self._of(attempt.provider).in_flight -= 1
        self.record(attempt.provider, attempt.error, attempt.first_output)

    def _of(self, provider: str) -> _Evidence:
        evidence = self._evidence.get(provider)
        if evidence is None:
            evidence = self._evidence[provider] = _Evidence(deque(maxlen=MOST_SAMPLES))
        return evidence

    def _expire(self, evidence: _Evidence) -> None:
        oldest = self._clock() - WINDOW
        while evidence.samples and evidence.samples[0][0] < oldest:
            evidence.samples.popleft()


def _counts(error: ProxyError) -> bool:
    """Whether an error says that the provider does not serve."""
    return isinstance(error, UpstreamError) and not isinstance(error, UpstreamRateLimited | UpstreamQuotaExhausted)


def _percentiles(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The median and the 95th percentile."""
    if not values:
        return None, None
    if len(values) == 1:
        return values[0], values[0]
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]
