"""The attempts of one call: which target comes next, after what wait, and when it is enough."""

from collections.abc import Sequence
from typing import Final, Generic, NoReturn

from msgspec import Struct

from llmproxy_grpc.calls import Attempt, Call
from llmproxy_grpc.errors import DeadlineExceeded, ProxyError, UpstreamRateLimited
from llmproxy_grpc.routing.candidate import Candidate
from llmproxy_grpc.routing.operations import Request
from llmproxy_grpc.routing.retry import TREATMENTS, Retries, class_of

SHORTEST_ATTEMPT: Final = 0.2
"""Seconds that must be left for another attempt: with less, the failure at hand says more than a deadline would."""


class _Failed(Struct):
    """A candidate that was tried in vain, how often, and its last error."""

    error: ProxyError
    times: int = 1


class Tries(Generic[Request]):
    """Goes through the candidates of one call, each once, and then back to those that may do better a second time.

    Args:
        call: The call; its attempts so far are read from it.
        candidates: What may answer, in the order to try; at least one.
        retries: Decides whether and when.
        asked: Most attempts that the caller wants; None for ours.
        again: Whether a candidate may be tried more than once.
    """

    __slots__ = ("_again", "_allowed", "_call", "_candidates", "_failed", "_fresh", "_made", "_now", "_retries")

    def __init__(
        self,
        call: Call,
        candidates: Sequence[Candidate[Request]],
        retries: Retries,
        *,
        asked: int | None,
        again: bool = True,
    ) -> None:
        self._call = call
        self._candidates = candidates
        self._retries = retries
        self._again = again
        self._allowed = retries.allowed(asked, call.previous_attempts)
        self._made = 0
        self._fresh = 0
        self._now = 0
        self._failed: dict[int, _Failed] = {}

    @property
    def left(self) -> int:
        """How many candidates are behind the current one that will be tried if it fails."""
        return max(0, min(self._allowed - self._made, len(self._candidates) - self._fresh))

    def first(self) -> Candidate[Request]:
        """The candidate to begin with.

        Raises:
            DeadlineExceeded: It is too late for any.
        """
        now = self._retries.clock()
        if now >= self._call.deadline_at:
            # The timer of a call that is over goes off only when the call next waits: nothing is sent for it.
            raise DeadlineExceeded("The deadline passed.")
        self._retries.budget(self._candidates[0].target.provider).deposit(now)
        return self._begin(0)

    async def after(self, error: ProxyError) -> Candidate[Request]:
        """The candidate to go on with after the current one failed, once it is time for it.

        Raises:
            ProxyError: No other attempt is worth it, or allowed: the error of the attempt that says most.
        """
        if not error.failover:
            raise error
        failed = self._failed.get(self._now)
        if failed is None:
            self._failed[self._now] = _Failed(error)
        else:
            failed.error, failed.times = error, failed.times + 1
        if self._made >= self._allowed:
            raise_decisive(self._call.attempts)
        now = self._retries.clock()
        remaining = self._call.deadline_at - now
        index, wait, culprit = self._following(remaining)
        if remaining - wait < SHORTEST_ATTEMPT or not self._pay(culprit, now):
            raise_decisive(self._call.attempts)
        if wait:
            await self._retries.sleep(wait)
        return self._begin(index)

    def _following(self, remaining: float) -> tuple[int, float, int]:
        """What to try next, the wait before it, and whose failure the attempt is put down to."""
        if self._fresh < len(self._candidates):
            return self._fresh, 0.0, self._now
        waits = (
            (wait, index)
            for index, failed in self._failed.items()
            if self._again and (wait := self._retries.wait(failed.error, failed.times, remaining)) is not None
        )
        wait, index = min(waits, default=(0.0, -1))
        if index < 0:
            raise_decisive(self._call.attempts)
        return index, wait, index

    def _pay(self, culprit: int, now: float) -> bool:
        cost = TREATMENTS[class_of(self._failed[culprit].error)].cost
        return self._retries.budget(self._candidates[culprit].target.provider).withdraw(cost, now)

    def _begin(self, index: int) -> Candidate[Request]:
        self._now = index
        self._fresh = max(self._fresh, index + 1)
        self._made += 1
        return self._candidates[index]


def raise_decisive(attempts: Sequence[Attempt]) -> NoReturn:
    """Raises the error that says most: the last after which the same call may succeed, else the last.

    A rate limit counts only where nothing else may pass: then alone waiting helps, as long as the shortest wait.
    """
    failed = [attempt.error for attempt in attempts if attempt.error is not None]
    limited = [error for error in failed if isinstance(error, UpstreamRateLimited)]
    passing = [error for error in failed if error.retryable and error not in limited]
    if passing:
        raise passing[-1]
    if not limited:
        raise failed[-1]
    waits = [error.retry_after for error in limited if error.retry_after is not None]
    limited[-1].retry_after = min(waits, default=None)
    raise limited[-1]
