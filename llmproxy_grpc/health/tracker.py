"""How each provider is: a pure state machine, fed by attempts and probes, with the clock passed in."""

import math
from collections import Counter, deque
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
FRESH: Final = 10.0
"""Seconds for which the result of a probe answers those who wish for one."""
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


class _Rates(Struct, frozen=True):
    """What the samples of the last minute come to, and of which state of them."""

    key: tuple[int, int]
    error_rate: float
    first_token_p50: float | None
    first_token_p95: float | None


class _Evidence(Struct):
    """What has been seen of one provider."""

    samples: deque[tuple[float, bool, float | None]]
    serving: bool = True
    failures: int = 0
    successes: int = 0
    last_success: datetime | None = None
    last_failure: datetime | None = None
    last_error: ProxyError | None = None
    last_traffic: float | None = None
    probed_at: float = -math.inf
    recorded: int = 0
    rates: _Rates | None = None


class HealthTracker(CallObserver):
    """A CallObserver that keeps the state of every provider; without evidence a provider serves.

    Three failures in a row take it down, two successes bring it back. What is the caller's fault, a rate limit or a
    spent quota says nothing about whether the provider serves.

    Args:
        clock: Monotonic seconds.
        now: The wall clock.
        changed: Called when a provider has come up or gone down.
    """

    def __init__(
        self, clock: Callable[[], float], now: Callable[[], datetime], changed: Callable[[], None] = lambda: None
    ) -> None:
        self._clock = clock
        self._now = now
        self._changed = changed
        self._evidence: dict[str, _Evidence] = {}
        self._in_flight: Counter[str] = Counter()
        self._told_of_probes: list[Callable[[str, ProxyError | None], None]] = []

    def state(self, provider: str) -> ProviderState:
        """How a provider is."""
        evidence = self._of(provider)
        rates = self._rates(evidence)
        seen = [time for time in (evidence.last_success, evidence.last_failure) if time is not None]
        return ProviderState(
            serving=evidence.serving,
            last_success=evidence.last_success,
            last_failure=evidence.last_failure,
            last_error=evidence.last_error,
            checked=max(seen, default=None),
            error_rate=rates.error_rate,
            first_token_p50=rates.first_token_p50,
            first_token_p95=rates.first_token_p95,
            in_flight=self._in_flight[provider],
        )

    def serving(self, provider: str) -> bool:
        """Whether a provider serves, as far as is known."""
        evidence = self._evidence.get(provider)
        return evidence is None or evidence.serving

    def in_flight(self, provider: str) -> int:
        """Attempts in flight."""
        return self._in_flight[provider]

    def last_traffic(self, provider: str) -> float | None:
        """When a call to a provider began or ended last, by the clock; None if never. Probes are no traffic."""
        evidence = self._evidence.get(provider)
        return None if evidence is None else evidence.last_traffic

    def just_probed(self, provider: str) -> bool:
        """Whether a probe of a provider, in whatever process, is so fresh that another would tell nothing new."""
        evidence = self._evidence.get(provider)
        return evidence is not None and self._clock() - evidence.probed_at < FRESH

    def keep(self, providers: Container[str]) -> None:
        """Forgets what was seen of the providers that are gone; what is in flight with them still is."""
        self._evidence = {name: evidence for name, evidence in self._evidence.items() if name in providers}
        self._in_flight = +self._in_flight  # without those at zero

    def probed(self, provider: str, error: ProxyError | None) -> None:
        """Takes the result of a probe, None for success, and tells those who listen."""
        self.take_probe(provider, error)
        for listener in self._told_of_probes:
            listener(provider, error)

    def take_probe(self, provider: str, error: ProxyError | None) -> None:
        """Takes the result of a probe that another process made."""
        self._of(provider).probed_at = self._clock()
        self.record(provider, error)

    def listen_to_probes(self, listener: Callable[[str, ProxyError | None], None]) -> None:
        """Has `listener(provider, error)` called after each probe of this process."""
        self._told_of_probes.append(listener)

    def record(self, provider: str, error: ProxyError | None, first_token: float | None = None) -> None:
        """Takes the result of a probe or an attempt; None is a success."""
        evidence = self._of(provider)
        if error is not None and not _counts(error):
            return
        evidence.samples.append((self._clock(), error is None, first_token))
        evidence.recorded += 1
        served = evidence.serving
        if error is None:
            evidence.last_success = self._now()
            evidence.successes, evidence.failures = evidence.successes + 1, 0
            evidence.serving = served or evidence.successes >= SUCCESSES_UP
        else:
            evidence.last_failure, evidence.last_error = self._now(), error
            evidence.failures, evidence.successes = evidence.failures + 1, 0
            evidence.serving = served and evidence.failures < FAILURES_DOWN
        if evidence.serving is not served:
            self._changed()

    def attempt_started(self, _call: Call, provider: str, _upstream_model: str) -> None:
        """One more in flight."""
        self._in_flight[provider] += 1
        self._of(provider).last_traffic = self._clock()

    def attempt_ended(self, _call: Call, attempt: Attempt) -> None:
        """One less in flight, and a success or a failure; of a provider that a reload has removed, no more."""
        self._in_flight[attempt.provider] -= 1
        evidence = self._evidence.get(attempt.provider)
        if evidence is None:
            return
        evidence.last_traffic = self._clock()
        self.record(attempt.provider, attempt.error, attempt.first_output)

    def _of(self, provider: str) -> _Evidence:
        evidence = self._evidence.get(provider)
        if evidence is None:
            evidence = self._evidence[provider] = _Evidence(deque(maxlen=MOST_SAMPLES))
        return evidence

    def _rates(self, evidence: _Evidence) -> _Rates:
        """The rates, worked out anew only when there is more evidence or a second has passed: anybody may ask."""
        now = self._clock()
        key = (evidence.recorded, int(now))
        if evidence.rates is not None and evidence.rates.key == key:
            return evidence.rates
        samples = evidence.samples
        while samples and samples[0][0] < now - WINDOW:
            samples.popleft()
        failed = sum(1 for _, good, _ in samples if not good)
        first_tokens = [seconds for _, _, seconds in samples if seconds is not None]
        error_rate = failed / len(samples) if samples else 0.0
        evidence.rates = _Rates(key, error_rate, *_percentiles(first_tokens))
        return evidence.rates


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
