"""What is known of one target by one credential, and of the target by all of them: may it be called, and by which."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct, field

from llmproxy_grpc.errors import UpstreamError, UpstreamRateLimited
from llmproxy_grpc.routing.breaker import Breaker, State

SLOW_FACTOR: Final = 3.0
SLOW: Final = 5.0
"""Seconds; a first output is slow if it takes longer than that, and three times as long as usual."""
SHARE: Final = 0.02
"""What one call counts for what is usual: an outage must not become usual while it lasts."""
SHORTEST_WAIT: Final = 1.0
"""Seconds; who has waited less says nothing of a target that nobody has heard of yet."""
MOST_SAMPLES: Final = 100
BETWEEN_CHECKS: Final = 10.0
"""Seconds between two calls by a credential that was refused, where there is no other."""


class Credential(Struct):
    """One credential of a provider: until when it is benched, for every model, and when it was last tried so."""

    index: int
    benched_until: float = -math.inf
    tried_at: float = -math.inf


class Circuit(Struct):
    """One target by one credential."""

    breaker: Breaker
    credential: Credential
    rests_until: float = -math.inf
    """The provider wants to be left alone until then."""
    rests_for: type[UpstreamError] = UpstreamRateLimited
    """Why."""
    benched_until: float = -math.inf
    """The credential is refused for this model until then."""

    def admits(self, now: float) -> bool:
        """Whether a call may begin."""
        return (
            self.breaker.admits(now)
            and now >= self.rests_until
            and now >= self.benched_until
            and now >= self.credential.benched_until
        )

    def benched(self, now: float) -> bool:
        """Whether the credential is refused, for this model or for all."""
        return now < self.benched_until or now < self.credential.benched_until

    def admits_trial(self, now: float) -> bool:
        """Whether a call may begin if there is nobody else to call."""
        if now < self.rests_until:
            return False  # the provider itself said when
        if self.benched(now):
            return now - self.credential.tried_at >= BETWEEN_CHECKS
        return self.breaker.admits_trial(now)

    def trial_at(self, now: float) -> float:
        """When a call may begin if there is nobody else to call."""
        if now < self.rests_until:
            return self.rests_until
        return self.credential.tried_at + BETWEEN_CHECKS if self.benched(now) else self.breaker.trial_at

    def begin(self, now: float) -> "Permit":
        """A call begins that was admitted."""
        if self.benched(now):
            self.credential.tried_at = now
        return Permit(self, self.breaker.begin(now))


class Permit(Struct):
    """Leave for one attempt; its result goes back with it."""

    circuit: Circuit
    probe: int
    streak: int = -1
    """How many had failed in a row before its success; -1 until it succeeds."""


class Line(Struct):
    """One target by all its credentials, and how long it takes."""

    circuits: Sequence[Circuit]
    turn: int = 0
    ejected_until: float = -math.inf
    """It does so much worse than others of its model that it is left out until then."""
    ejections: int = 0
    """How often that was so lately."""
    calls: int = 0
    failures: int = 0
    """Since the last look for such targets."""
    first_output: float = 0.0
    """Seconds that a stream's first output takes, on the long average; 0 if no one knows."""
    first_outputs: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_SAMPLES))
    """The last of them."""
    answer: float = 0.0
    """Seconds that an answer in one piece takes, on the long average; 0 if no one knows."""
    silent: float = 0.0
    """Seconds for which callers have waited in vain since it said anything; those who waited together count once."""
    silent_until: float = -math.inf
    """When the last of them gave up, or when it was heard since."""

    def admit(self, now: float, *, trial: bool = False) -> Permit | None:
        """Begins a call by the next credential that may; None if none may.

        Args:
            now: The time.
            trial: Whether there is nobody else to call.
        """
        admits = Circuit.admits_trial if trial else Circuit.admits
        if now < self.ejected_until and not trial:
            return None
        circuits = self.circuits
        if len(circuits) == 1:  # nearly always
            return circuits[0].begin(now) if admits(circuits[0], now) else None
        for index in range(self.turn, self.turn + len(circuits)):
            circuit = circuits[index % len(circuits)]
            if admits(circuit, now):
                self.turn = (index + 1) % len(circuits)
                return circuit.begin(now)
        return None

    def available(self, now: float) -> bool:
        """Whether a call may begin."""
        return now >= self.ejected_until and any(circuit.admits(now) for circuit in self.circuits)

    def rest(self, now: float) -> float | None:
        """Seconds until a call may begin, if nothing but a rate limit is in the way; else None."""
        return self._soonest(now, lambda circuit: circuit.breaker.admits(now) and now >= self.ejected_until)

    def wait(self, now: float) -> float:
        """Seconds until a call may begin, for all that is known."""
        waits = (
            max(
                circuit.rests_until,
                circuit.benched_until,
                circuit.credential.benched_until,
                0.0 if circuit.breaker.admits(now) else circuit.breaker.open_until,
                self.ejected_until,
            )
            - now
            for circuit in self.circuits
        )
        return max(0.0, min(waits))

    def wait_for_trial(self, now: float) -> float:
        """Seconds until a call may begin if there is nobody else to call."""
        return max(0.0, min(circuit.trial_at(now) for circuit in self.circuits) - now)

    def state(self, now: float) -> State:
        """The worst state of its circuits."""
        return max(circuit.breaker.state(now) for circuit in self.circuits)

    def usual(self, *, streaming: bool) -> float:
        """Seconds that the first output of a stream takes, or an answer in one piece; 0 if no one knows."""
        return self.first_output if streaming else self.answer

    def learn(self, seconds: float, *, streaming: bool) -> bool:
        """Takes how long a call took; tells whether that was slow."""
        if not streaming:
            self.answer = _average(self.answer, seconds)
            return False  # answers are as long as they are asked to be
        self.first_outputs.append(seconds)
        slow = SLOW < seconds > SLOW_FACTOR * self.first_output > 0
        self.first_output = _average(self.first_output, SLOW_FACTOR * self.first_output if slow else seconds)
        return slow

    def hear(self, now: float) -> None:
        """It said something."""
        self.silent, self.silent_until = 0.0, now

    def too_silent(self, seconds: float, now: float, *, streaming: bool) -> bool:
        """Takes how long a caller has waited in vain; tells whether that speaks against the target.

        It does if it was long enough by itself. Callers who all have less patience speak together against a target that
        nobody has heard meanwhile, once they have waited for so long; those in a hurry, who did not wait for as long as
        usual, have no say in it.
        """
        usual = self.usual(streaming=streaming)
        if seconds < (usual or SHORTEST_WAIT):
            return False
        self.silent += min(seconds, now - self.silent_until)
        self.silent_until = now
        return seconds >= (SLOW_FACTOR * usual or SLOW) or self.silent >= max(SLOW_FACTOR * usual, SLOW)

    def _soonest(self, now: float, counts: Callable[[Circuit], bool]) -> float | None:
        waits = [circuit.rests_until - now for circuit in self.circuits if counts(circuit) and not circuit.benched(now)]
        return max(0.0, min(waits)) if waits else None


def _average(so_far: float, seconds: float) -> float:
    return seconds if so_far == 0.0 else so_far + SHARE * (seconds - so_far)
