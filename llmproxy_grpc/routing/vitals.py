"""How each target does: what is in flight, how long its first token takes, and whether it failed last."""

import math
from collections.abc import Callable, Iterable
from typing import Final

from llmproxy_grpc.calls import STREAM, Attempt, Call, CallObserver
from llmproxy_grpc.errors import (
    CallerCancelled,
    DeadlineExceeded,
    InternalError,
    ModelNotFound,
    Outrun,
    ProxyError,
    UpstreamError,
)
from llmproxy_grpc.routing.catalog import Target

MEMORY: Final = 10.0
"""Seconds in which the weight of what was seen falls to a third."""
PENALTY: Final = 5.0
"""Seconds that a failed attempt counts as at least: who fails fast must not look fast."""
FIRST_PAUSE: Final = 0.1
"""Seconds between two tries of a target that is not known yet or failed once; each more failure doubles them."""
TOKENS_OF_A_WAIT: Final = 25
"""How many tokens a model writes in the time that it takes for the first one, roughly: half a second, and 20 ms each.

An answer in one piece takes as long as it is: were its whole time compared with others' first tokens, a target would
look slow because somebody asked it for long answers. Divided by its length in such waits, it is a time to a first
token; a target that is ten times as slow still counts as ten times as slow.
"""
COUNTING: Final = "CountTokens"


class Vital:
    """How one target does, as far as this process saw."""

    __slots__ = ("_failed_at", "_peak", "_penalty", "_sampled_at", "_started_at", "failures", "in_flight", "waiting")

    def __init__(self) -> None:
        self.in_flight = 0
        self.failures = 0
        """How many attempts failed since one succeeded."""
        self.waiting: dict[str, float] = {}
        """When each stream began that has no output yet, by call, the oldest first."""
        self._peak = self._penalty = 0.0
        self._sampled_at = self._failed_at = self._started_at = -math.inf

    @property
    def known(self) -> bool:
        """Whether any attempt told how long it takes, or failed."""
        return self.failures > 0 or self._sampled_at > -math.inf

    def seconds(self, now: float) -> float:
        """The time to the first token: what was seen, fading; never less than what somebody waits already."""
        seen = self._peak * _share(self._sampled_at, now)
        if self.failures:
            seen = max(seen, self._penalty * _share(self._failed_at, now))
        oldest = next(iter(self.waiting.values()), now)
        return max(seen, now - oldest)

    def held(self, now: float) -> bool:
        """Whether to leave it alone for now, if there is another: enough tries are out that will tell how it does.

        One that is unknown gets a call each 100 ms; one that failed a call each pause, which doubles with every
        failure; one that was not seen for long, because it was slow, a call at a time.
        """
        if not self.known:
            return now - self._started_at < FIRST_PAUSE
        if self.failures:
            return now - max(self._started_at, self._failed_at) < _pause(self.failures)
        return now - self._sampled_at > MEMORY > now - self._started_at and self._started_at > self._sampled_at

    def start(self, now: float) -> None:
        """An attempt begins."""
        self.in_flight += 1
        self._started_at = now

    def succeed(self, seconds: float, now: float) -> None:
        """A first token came after so many seconds: what failed before is forgiven."""
        self.failures = 0
        self._take(seconds, now)

    def fail(self, seconds: float, now: float) -> None:
        """An attempt failed after so many seconds."""
        self.failures += 1
        self._penalty = max(seconds, PENALTY)
        self._failed_at = now

    def wait_in_vain(self, seconds: float, now: float) -> None:
        """An attempt was given up before its first token: that takes so long at least."""
        if seconds > self.seconds(now):
            self._take(seconds, now)

    def _take(self, seconds: float, now: float) -> None:
        """A peak counts at once, what is less by and by."""
        if seconds < self._peak:
            share = _share(self._sampled_at, now)
            seconds = self._peak * share + seconds * (1 - share)
        self._peak = seconds
        self._sampled_at = now


class Vitals(CallObserver):
    """The vitals of the targets that somebody wants to know of; they outlive a reload of the configuration.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._vitals: dict[Target, Vital] = {}

    def watch(self, targets: Iterable[Target]) -> None:
        """Keeps watch over these targets from now on, and over no others but those that are still in use."""
        wanted = set(targets)
        kept = {target: vital for target, vital in self._vitals.items() if target in wanted or vital.in_flight}
        self._vitals = {**{target: Vital() for target in wanted}, **kept}

    def of(self, target: Target) -> Vital:
        """How a target does; one that is not watched is unknown."""
        vital = self._vitals.get(target)
        return Vital() if vital is None else vital

    def attempt_started(self, call: Call, provider: str, upstream_model: str) -> None:
        """Counts the attempt, and notes since when a stream waits."""
        if not self._vitals:
            return  # nobody goes by them
        vital = self._vitals.get(Target(provider, upstream_model))
        if vital is None:
            return
        now = self.clock()
        vital.start(now)
        if call.method == STREAM:
            vital.waiting[call.id] = now

    def first_output(self, call: Call, seconds: float) -> None:
        """Takes the time that a stream's first output took."""
        if not self._vitals:
            return
        vital = self._vitals.get(Target(call.provider, call.upstream_model))
        if vital is not None and vital.waiting.pop(call.id, None) is not None:
            vital.succeed(seconds, self.clock())

    def attempt_ended(self, call: Call, attempt: Attempt) -> None:
        """Takes what the end of an attempt tells."""
        if not self._vitals:
            return
        vital = self._vitals.get(Target(attempt.provider, attempt.upstream_model))
        if vital is None or not vital.in_flight:
            return  # began before it was watched
        vital.in_flight -= 1
        vital.waiting.pop(call.id, None)
        if call.method == COUNTING:
            return  # who cannot count may well answer, and counting takes no time to speak of
        now = self.clock()
        if _is_failure(attempt.error):
            vital.fail(attempt.latency, now)
        elif attempt.error is None:
            if call.method != STREAM:
                vital.succeed(_first_token(attempt), now)
        elif isinstance(attempt.error, CallerCancelled | DeadlineExceeded | Outrun) and attempt.first_output is None:
            vital.wait_in_vain(attempt.latency, now)


def _is_failure(error: ProxyError | None) -> bool:
    """Whether an attempt failed for a reason that lies with its target, rather than with the request or with us."""
    return isinstance(error, UpstreamError | ModelNotFound | InternalError)


def _first_token(attempt: Attempt) -> float:
    """The time to the first token of an answer that came in one piece."""
    tokens = 0 if attempt.usage is None else attempt.usage.output_tokens
    return attempt.latency / (1 + tokens / TOKENS_OF_A_WAIT)


def _share(seen_at: float, now: float) -> float:
    """How much still counts of what was seen."""
    return math.exp((seen_at - now) / MEMORY)


def _pause(failures: int) -> float:
    return min(MEMORY, math.ldexp(FIRST_PAUSE, min(failures - 1, 16)))
