"""The circuits of all targets: who may be called now, and what the end of each attempt says of that."""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from random import Random
from typing import Final

import structlog

from llmproxy_grpc.calls import Attempt
from llmproxy_grpc.config.schema import BreakerConfig
from llmproxy_grpc.errors import (
    CredentialsRejected,
    DeadlineExceeded,
    Fault,
    ProxyError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from llmproxy_grpc.routing.breaker import Breaker, State
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.circuit import Circuit, Credential, Line, Permit
from llmproxy_grpc.routing.outage import Outage, OutageKind
from llmproxy_grpc.routing.outliers import Outliers
from llmproxy_grpc.routing.refusal import refusal

log = structlog.get_logger(__name__)

SHORTEST_REST: Final = 1.0
LONGEST_REST: Final = 60.0
BENCH: Final = 300.0
"""Seconds for which a credential that a provider refuses is not used."""
EVERY_MODEL: Final = frozenset({401, 498})
"""Statuses that refuse a credential as such; others refuse it for a model."""
REFUSED: Final = frozenset({401, 403, 498})
RESTS: Final[Mapping[str, type[UpstreamError]]] = {
    kind.reason: kind for kind in (UpstreamRateLimited, UpstreamOverloaded, UpstreamQuotaExhausted)
}
"""The errors after which a target rests, by reason."""
SLOW_START: Final = 15.0
"""Seconds in which a target that was ejected gets its share of the calls back."""
BENCHES: Final = frozenset({OutageKind.BENCHED, OutageKind.REINSTATED})
MOST_LINES: Final = 4096
"""Targets that are remembered besides those of configured models; callers of direct models choose their names."""

Tell = Callable[[Outage], None]


def nobody(_outage: Outage) -> None:
    """Tells nobody."""


class Circuits:
    """Says who may be called, and learns from what comes of it.

    Args:
        config: When circuits open, and for how long.
        credentials: How many credentials each provider has that take turns; one if it is not there.
        clock: Monotonic seconds.
        random: Spreads the times at which circuits are probed, and the calls of a target that has just returned.
        groups: The targets of each model, which are compared with each other.
        tell: Told of every outage that this process has seen itself, for the others to `learn`.
    """

    def __init__(
        self,
        config: BreakerConfig,
        *,
        credentials: Mapping[str, int],
        clock: Callable[[], float],
        random: Random,
        groups: Sequence[Sequence[Target]] = (),
        tell: Tell = nobody,
    ) -> None:
        self._config = config
        self._counts = credentials
        self._clock = clock
        self._random = random
        self._outliers = Outliers(groups, random)
        self._grouped = frozenset(target for group in groups for target in group)
        self._tell = tell
        self._lines: dict[Target, Line] = {}
        self._credentials: dict[str, Sequence[Credential]] = {}

    def admit(self, target: Target, *, trial: bool = False) -> Permit | None:
        """Begins an attempt; give its end to `ended`. None if the target must be left alone.

        Args:
            target: Whom to call.
            trial: Whether there is nobody else: then a target that is out gets a call a second all the same.
        """
        line = self._lines.get(target)
        if line is None:
            line = self.line(target)
        return line.admit(self._clock(), trial=trial)

    def available(self, target: Target) -> bool:
        """Whether a target may be called now; asking changes nothing."""
        line = self._lines.get(target)
        return line is None or line.available(self._clock())

    def welcome(self, target: Target) -> bool:
        """Whether a target should have its turn now: one that has just returned gets its calls little by little."""
        line = self._lines.get(target)
        if line is None:
            return True
        now = self._clock()
        if not line.available(now):
            return False
        back = now - line.ejected_until
        return back >= SLOW_START or self._random.random() * SLOW_START < back

    def line(self, target: Target) -> Line:
        """What is known of a target."""
        line = self._lines.get(target)
        if line is None:
            if len(self._lines) >= MOST_LINES + len(self._grouped):
                self._forget()
            circuits = [
                Circuit(Breaker(self._config, self._random), credential) for credential in self._of(target.provider)
            ]
            line = self._lines[target] = Line(circuits)
        return line

    def first_output(self, target: Target, permit: Permit, seconds: float) -> None:
        """A stream's first output came: it has succeeded, for an answer may outlast any memory."""
        slow = self.line(target).learn(seconds, streaming=True)
        self._succeeded(target, permit, slow=slow)

    def ended(self, target: Target, permit: Permit, attempt: Attempt, *, streaming: bool, hurried: bool) -> None:
        """An attempt ended.

        Args:
            target: Who was called.
            permit: What `admit` gave.
            attempt: How it ended.
            streaming: Whether it was a stream.
            hurried: Whether the caller has set time limits of its own.
        """
        error = attempt.error
        if error is not None and (error.fault or Fault()).http_status:
            self.line(target).hear(self._clock())
        if error is None:
            if permit.streak < 0:
                self.line(target).learn(attempt.latency, streaming=streaming)
                self._succeeded(target, permit)
        elif isinstance(error, UpstreamRateLimited | UpstreamOverloaded | UpstreamQuotaExhausted):
            permit.circuit.breaker.abandon(permit.probe)
            self._rest(target, permit.circuit, error)
        elif isinstance(error, CredentialsRejected):
            permit.circuit.breaker.abandon(permit.probe)
            self._bench(target, permit.circuit, error)
        elif self._is_failure(target, permit, attempt, streaming=streaming, hurried=hurried):
            self._failed(target, permit)
        else:
            permit.circuit.breaker.abandon(permit.probe)

    def learn(self, outage: Outage) -> None:
        """Takes what another process has seen."""
        if outage.kind in BENCHES and not outage.upstream_model:
            for credential in self._of(outage.provider):
                if credential.index == outage.credential:
                    credential.benched_until = _benched_until(credential, outage)
            return
        line = self.line(Target(outage.provider, outage.upstream_model))
        if outage.kind is OutageKind.EJECTED:
            line.ejected_until = max(line.ejected_until, outage.until)
            return
        for circuit in line.circuits:
            if circuit.credential.index == outage.credential:
                _take(circuit, outage)

    def adopt(self, before: "Circuits", providers: Container[str]) -> None:
        """Takes over what was known of these providers, which are configured as they were; settings may be others."""
        lines, credentials = before._lines, before._credentials  # noqa: SLF001 - another of this class
        self._lines.update({target: line for target, line in lines.items() if target.provider in providers})
        now = self._clock()
        for circuit in (circuit for line in self._lines.values() for circuit in line.circuits):
            circuit.breaker.judge_by(self._config, now)
        self._credentials.update({name: each for name, each in credentials.items() if name in providers})

    def refusal(self, targets: Sequence[Target]) -> ProxyError:
        """The error of a call none of whose targets may be called now."""
        return refusal(targets, [self.line(target) for target in targets], self._clock())

    def states(self) -> Mapping[str, State]:
        """The worst circuit of each provider that has one."""
        now = self._clock()
        worst: dict[str, State] = {}
        for target, line in self._lines.items():
            worst[target.provider] = max(worst.get(target.provider, State.CLOSED), line.state(now))
        return worst

    def _of(self, provider: str) -> Sequence[Credential]:
        credentials = self._credentials.get(provider)
        if credentials is None:
            credentials = [Credential(index) for index in range(self._counts.get(provider, 1))]
            self._credentials[provider] = credentials
        return credentials

    def _count(self, target: Target, *, calls: int, failures: int) -> None:
        """Counts for the comparison with other targets, and compares when it is time."""
        line, now = self.line(target), self._clock()
        line.calls += calls
        line.failures += failures
        if self._outliers.due(now):
            for ejected in self._outliers.sweep(self.line, now):
                until = self.line(ejected).ejected_until
                log.warning(
                    "target_ejected",
                    provider=ejected.provider,
                    upstream_model=ejected.upstream_model,
                    seconds=round(until - now, 3),
                )
                self._tell(Outage(OutageKind.EJECTED, ejected.provider, ejected.upstream_model, -1, until))

    def _succeeded(self, target: Target, permit: Permit, *, slow: bool = False) -> None:
        self._count(target, calls=1, failures=0)
        self.line(target).hear(self._clock())
        breaker = permit.circuit.breaker
        closed = breaker.closed
        permit.streak = breaker.succeed(self._clock(), permit.probe, slow=slow)
        self._reinstate(target, permit.circuit)
        if breaker.closed is not closed:
            self._changed(target, permit.circuit)

    def _failed(self, target: Target, permit: Permit) -> None:
        self._count(target, calls=1 if permit.streak < 0 else 0, failures=1)
        breaker, now = permit.circuit.breaker, self._clock()
        before = breaker.open_until
        if permit.streak < 0:
            breaker.fail(now, permit.probe)
        else:
            breaker.spoil(now, permit.probe, permit.streak)
        if breaker.open_until != before:
            self._changed(target, permit.circuit)

    def _is_failure(self, target: Target, permit: Permit, attempt: Attempt, *, streaming: bool, hurried: bool) -> bool:
        """Whether an error says that the target does not do what it should."""
        error = attempt.error
        if isinstance(error, UpstreamTimeout) and hurried and not (error.fault or Fault()).http_status:
            return self.line(target).too_silent(attempt.latency, self._clock(), streaming=streaming)
        if isinstance(error, DeadlineExceeded):
            return permit.streak < 0 and self.line(target).too_silent(
                attempt.latency, self._clock(), streaming=streaming
            )
        return isinstance(error, UpstreamError)

    def _rest(self, target: Target, circuit: Circuit, error: UpstreamError) -> None:
        asked = LONGEST_REST if isinstance(error, UpstreamQuotaExhausted) else error.retry_after or 0.0
        until = self._clock() + min(max(asked, SHORTEST_REST), LONGEST_REST)
        if until > circuit.rests_until:
            circuit.rests_until, circuit.rests_for = until, type(error)
            self._tell(_outage(OutageKind.RESTING, target, circuit, until, error.reason))

    def _bench(self, target: Target, circuit: Circuit, error: ProxyError) -> None:
        status = (error.fault or Fault()).http_status
        if status not in REFUSED:
            return  # there was none to be had, which has its own time to try again
        now = self._clock()
        until = now + BENCH
        if status in EVERY_MODEL:
            before, circuit.credential.benched_until = circuit.credential.benched_until, until
            target = Target(target.provider, "")
        else:
            before, circuit.benched_until = circuit.benched_until, until
        circuit.credential.tried_at = now
        if before <= now:  # else calls that were under way, or a trial, hear the same again
            log.error(
                "credential_benched",
                provider=target.provider,
                upstream_model=target.upstream_model,
                credential=circuit.credential.index,
                http_status=status,
                seconds=BENCH,
            )
        self._tell(_outage(OutageKind.BENCHED, target, circuit, until))

    def _reinstate(self, target: Target, circuit: Circuit) -> None:
        """Whoever answers by a credential that he has refused takes it again."""
        now = self._clock()
        for benched, where in ((circuit, target), (circuit.credential, Target(target.provider, ""))):
            if now < benched.benched_until:
                benched.benched_until = -math.inf
                self._tell(_outage(OutageKind.REINSTATED, where, circuit, now))

    def _changed(self, target: Target, circuit: Circuit) -> None:
        """Tells, once, that a circuit has opened or closed."""
        breaker, now = circuit.breaker, self._clock()
        names = {"provider": target.provider, "upstream_model": target.upstream_model}
        if breaker.closed:
            log.info("circuit_closed", **names, credential=circuit.credential.index)
            self._tell(_outage(OutageKind.CLOSED, target, circuit, now))
        else:
            seconds = round(breaker.open_until - now, 3)
            log.warning("circuit_open", **names, credential=circuit.credential.index, seconds=seconds)
            self._tell(_outage(OutageKind.OPEN, target, circuit, breaker.open_until))

    def _forget(self) -> None:
        """Drops the direct models of which nothing bad is known, which costs them a start from nothing.

        If that is not half of them the older ones go as well: looking for room takes milliseconds, and a call waits.
        """
        now = self._clock()
        direct = [(target, line) for target, line in self._lines.items() if target not in self._grouped]
        self._lines = {target: line for target, line in self._lines.items() if target in self._grouped}
        self._lines.update([each for each in direct if not each[1].available(now)][-(MOST_LINES // 2) :])


def _take(circuit: Circuit, outage: Outage) -> None:
    match outage.kind:
        case OutageKind.OPEN:
            circuit.breaker.open(outage.until)
        case OutageKind.CLOSED:
            circuit.breaker.close()
        case OutageKind.RESTING:
            if outage.until > circuit.rests_until:
                circuit.rests_until = outage.until
                circuit.rests_for = RESTS.get(outage.reason, UpstreamRateLimited)
        case OutageKind.BENCHED | OutageKind.REINSTATED:
            circuit.benched_until = _benched_until(circuit, outage)
        case _:
            pass


def _benched_until(benched: Circuit | Credential, outage: Outage) -> float:
    return max(benched.benched_until, outage.until) if outage.kind is OutageKind.BENCHED else -math.inf


def _outage(kind: OutageKind, target: Target, circuit: Circuit, until: float, reason: str = "") -> Outage:
    return Outage(kind, target.provider, target.upstream_model, circuit.credential.index, until, reason)
