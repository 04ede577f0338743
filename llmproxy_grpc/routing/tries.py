"""The attempts of one call: which target comes next, after what wait, and when it is enough."""

from collections.abc import Sequence
from copy import copy
from typing import Final, Generic

from msgspec import Struct

from llmproxy_grpc.calls import STREAM, Attempt, Call
from llmproxy_grpc.errors import CredentialsRejected, DeadlineExceeded, ProxyError, UpstreamRateLimited, name_fields
from llmproxy_grpc.routing.candidate import Candidate, Choice
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.circuit import Permit
from llmproxy_grpc.routing.circuits import Circuits
from llmproxy_grpc.routing.operations import Request
from llmproxy_grpc.routing.retry import FLOOR, TREATMENTS, ErrorClass, Retries, class_of
from llmproxy_grpc.routing.window import SECONDS

SHORTEST_ATTEMPT: Final = 0.2
"""Seconds that must be left for another attempt: with less, the failure at hand says more than a deadline would."""
HALF_A_BUDGET: Final = FLOOR * SECONDS / 2
PANIC: Final = 0.5
"""If more than this share of the candidates is out, those whose circuits are open are called all the same, rarely."""


class _Failed(Struct):
    """A candidate that was tried in vain, how often, and its last error."""

    error: ProxyError
    times: int = 1


class _Step(Struct, frozen=True):
    """What to try, by which leave (none yet if there is a wait before it), and whose budget pays; None for nobody's."""

    index: int
    payer: int | None
    permit: Permit | None = None
    wait: float = 0.0


class Turn(Struct, Generic[Request]):
    """One attempt that is to be made."""

    candidate: Candidate[Request]
    permit: Permit
    index: int = 0


class Tries(Generic[Request]):
    """Goes through the candidates of one call, each once, and then back to those that may do better a second time.

    Args:
        call: The call; its attempts so far are read from it.
        choice: What may answer.
        retries: Decides whether and when.
        circuits: Says who may be called now.
        asked: Most attempts that the caller wants; None for ours.
        again: Whether a candidate may be tried more than once.
    """

    __slots__ = (
        "_again",
        "_allowed",
        "_call",
        "_candidates",
        "_choice",
        "_circuits",
        "_failed",
        "_made",
        "_now",
        "_retries",
    )

    def __init__(
        self,
        call: Call,
        choice: Choice[Request],
        retries: Retries,
        circuits: Circuits,
        *,
        asked: int | None,
        again: bool = True,
    ) -> None:
        self._call = call
        self._candidates = choice.candidates
        self._choice = choice
        self._retries = retries
        self._circuits = circuits
        self._again = again
        self._allowed = retries.allowed(asked, call.previous_attempts)
        self._made = len(call.attempts)
        self._now = 0
        self._failed: dict[int, _Failed] = {}

    @property
    def left(self) -> int:
        """How many candidates besides the current one will have their turn if all fail."""
        return max(0, min(self._allowed - self._made, len(self._candidates) - len(self._failed) - 1))

    def first(self, *, fresh: bool = True) -> Turn[Request]:
        """The attempt to begin with.

        Args:
            fresh: Whether it is the first of its call.

        Raises:
            DeadlineExceeded: It is too late for any.
            ProxyError: No target may be called now.
        """
        now = self._retries.clock()
        if now >= self._call.deadline_at:
            # The timer of a call that is over goes off only when the call next waits: nothing is sent for it.
            raise DeadlineExceeded("The deadline passed.")
        if self._made >= self._allowed:
            raise decisive(self._call.attempts)
        permit = self._circuits.admit(self._candidates[0].target)
        step = _Step(0, 0, permit) if permit is not None else self._fresh() or self._trial()
        if step is None or step.permit is None:
            raise self._explained(self._circuits.refusal([candidate.target for candidate in self._candidates]))
        if fresh:
            self._retries.budget(self._candidates[step.index].target.provider).deposit(now)
        return self._begin(step.index, step.permit)

    async def after(self, error: ProxyError) -> Turn[Request]:
        """The attempt to go on with after the current one failed, once it is time for it.

        Raises:
            ProxyError: No other attempt is worth it, or allowed: the error of the attempt that says most.
        """
        if not error.failover:
            return await self._turn_away(error)
        failed = self._failed.setdefault(self._now, _Failed(error, 0))
        failed.error, failed.times = error, failed.times + 1
        while self._made < self._allowed:
            now = self._retries.clock()
            remaining = self._call.deadline_at - now
            step = self._following(remaining)
            if step is None or not self._worth(step, now, remaining):
                break
            if step.wait:
                await self._retries.sleep(step.wait)
            permit = step.permit or self._circuits.admit(self._candidates[step.index].target)
            if permit is not None:
                return self._begin(step.index, permit)
        raise self._explained(decisive(self._call.attempts))

    def beside(self) -> Turn[Request] | None:
        """Another candidate's attempt to make while the current one goes on; None if that would be too much.

        It must not add to the trouble: not after a rate limit, nor when half of the budget of retries is spent.
        """
        provider, now = self._candidates[self._now].target.provider, self._retries.clock()
        if (
            self._made >= self._allowed
            or self._call.deadline_at - now < SHORTEST_ATTEMPT
            or any(class_of(failed.error) is ErrorClass.THROTTLED for failed in self._failed.values())
            or self._retries.budget(provider).balance(now) < HALF_A_BUDGET
        ):
            return None
        step = self._fresh(besides=self._now)
        if step is None or step.permit is None:
            return None
        self._made += 1
        return Turn(self._candidates[step.index], step.permit, step.index)

    def lost(self, turn: Turn[Request], error: ProxyError, *, left: Turn[Request]) -> None:
        """One of two attempts failed while the other goes on, which is the current one now."""
        self._failed[turn.index] = _Failed(error)
        self._now = left.index

    async def _turn_away(self, error: ProxyError) -> Turn[Request]:
        """Goes on with other models, where some are named for just this error; it is no failure that counts."""
        remaining = self._call.deadline_at - self._retries.clock()
        if self._made < self._allowed and remaining >= SHORTEST_ATTEMPT:
            self._candidates, self._failed = await self._choice.instead(error, self._tried()), {}
            step = self._fresh() or (self._trial() if self._candidates else None)
            if step is not None and step.permit is not None:
                return self._begin(step.index, step.permit)
        raise error

    def _following(self, remaining: float) -> _Step | None:
        """What to try next: by another credential, another target, the same again, or one that is out."""
        return self._by_another_credential() or self._fresh() or self._repeated(remaining) or self._trial()

    def _by_another_credential(self) -> _Step | None:
        error = self._failed[self._now].error
        if class_of(error) is ErrorClass.THROTTLED or isinstance(error, CredentialsRejected):
            target = self._candidates[self._now].target
            if len(self._circuits.line(target).circuits) > 1 and (permit := self._circuits.admit(target)):
                return _Step(self._now, self._now, permit)
        return None

    def _fresh(self, *, besides: int = -1) -> _Step | None:
        """The first candidate that was not tried and may be called.

        It costs nothing: a target that is well has room for the calls of one that is not, and as soon as it is not well
        itself its circuit says so.
        """
        for index, candidate in enumerate(self._candidates):
            if index != besides and index not in self._failed and (permit := self._circuits.admit(candidate.target)):
                return _Step(index, None, permit)
        return None

    def _repeated(self, remaining: float) -> _Step | None:
        """The candidate that may be asked again the soonest."""
        steps = (
            _Step(index, index, wait=wait)
            for index in self._failed
            if self._again and (wait := self._wait(index, remaining)) is not None
        )
        return min(steps, key=lambda step: step.wait, default=None)

    def _wait(self, index: int, remaining: float) -> float | None:
        """Seconds before a candidate that has failed may be asked again; None if it must not."""
        failed = self._failed[index]
        wait = self._retries.wait(failed.error, failed.times, remaining)
        rest = self._circuits.line(self._candidates[index].target).rest(self._retries.clock())
        if wait is None or rest is None or rest > self._retries.longest_wait(remaining):
            return None
        return max(wait, rest)

    def _trial(self) -> _Step | None:
        """Any candidate that is out, if too many are."""
        targets = [candidate.target for candidate in self._candidates]
        out = [index for index, target in enumerate(targets) if not self._circuits.available(target)]
        if len(out) <= PANIC * len(targets):
            return None
        for index in self._retries.shuffled([index for index in out if index not in self._failed]):
            if permit := self._circuits.admit(targets[index], trial=True):
                return _Step(index, self._now, permit)
        return None

    def _worth(self, step: _Step, now: float, remaining: float) -> bool:
        """Whether there is time for a step, and budget; what it was allowed to do is given back if there is not."""
        target = self._candidates[step.index].target
        usual = self._circuits.line(target).usual(streaming=self._call.method == STREAM)
        if remaining - step.wait >= max(SHORTEST_ATTEMPT, usual / 2) and self._pay(step.payer, now):
            return True
        if step.permit is not None:
            step.permit.circuit.breaker.abandon(step.permit.probe)
        return False

    def _pay(self, payer: int | None, now: float) -> bool:
        failed = None if payer is None else self._failed.get(payer)
        if payer is None or failed is None:
            return True
        cost = TREATMENTS[class_of(failed.error)].cost
        return self._retries.budget(self._candidates[payer].target.provider).withdraw(cost, now)

    def _explained(self, error: ProxyError) -> ProxyError:
        """The error that the call ends with; it says who was not asked, lest failover be thought broken.

        Why is not said: the fields of the request, the caller's own list, a condition, or the operators may be the
        reason. The attempt keeps its own error.
        """
        tried = self._tried()
        left_out = [target for target in self._choice.passed_over() if target not in tried]
        if not left_out:
            return error
        names = name_fields([f"{target.provider}/{target.upstream_model[:64]}" for target in left_out])
        explained = copy(error)
        explained.message = f"{error.message} Not asked: {names}."
        return explained.with_traceback(error.__traceback__)

    def _tried(self) -> set[Target]:
        return {Target(attempt.provider, attempt.upstream_model) for attempt in self._call.attempts}

    def _begin(self, index: int, permit: Permit) -> Turn[Request]:
        self._now = index
        self._made += 1
        return Turn(self._candidates[index], permit, index)


def decisive(attempts: Sequence[Attempt]) -> ProxyError:
    """The error that says most: the last after which the same call may succeed, else the last.

    A rate limit counts only where nothing else may pass: then alone waiting helps, as long as the shortest wait.
    """
    failed = [attempt.error for attempt in attempts if attempt.error is not None]
    limited = [error for error in failed if isinstance(error, UpstreamRateLimited)]
    passing = [error for error in failed if error.retryable and error not in limited]
    if passing:
        return passing[-1]
    if not limited:
        return failed[-1]
    last = copy(limited[-1])  # the attempt keeps the wait that its own provider asked for
    last.retry_after = min((error.retry_after for error in limited if error.retry_after is not None), default=None)
    return last.with_traceback(limited[-1].__traceback__)
