"""Whether a failed attempt is worth another: classes of errors, waits, and a budget of retries for each provider."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from random import Random
from typing import Final

from msgspec import Struct

from llmproxy_grpc import errors
from llmproxy_grpc.config.schema import RetriesConfig
from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.routing.window import SECONDS, Window

LONGEST_BACKOFF: Final = 2.0
LONGEST_RETRY_AFTER: Final = 5.0
"""Seconds that a provider may ask us to wait for us to do so within a call."""
FLOOR: Final = 1.0
"""Credit that every budget gets each second, whatever its traffic; ten seconds of it are there at the start."""


class ErrorClass(Enum):
    """What an error says of another attempt."""

    NEVER_SENT = "never_sent"
    """The provider has not seen the request."""
    THROTTLED = "throttled"
    """It is busy, and says so."""
    TRANSIENT = "transient"
    """It failed, and may not fail again."""
    AMBIGUOUS = "ambiguous"
    """It got the request, and whether it answered it, or charges for it, nobody knows."""
    FATAL = "fatal"
    """It would say the same again; another target may not."""


class Treatment(Struct, frozen=True):
    """What another attempt after an error of a class costs of the budget, and how to ask the same target again."""

    cost: float = 0.0
    again: bool = False
    """Whether the same target may be asked again."""
    base: float = 0.0
    """Longest wait before that, in seconds, the first time; it doubles each time."""


TREATMENTS: Final[Mapping[ErrorClass, Treatment]] = {
    ErrorClass.NEVER_SENT: Treatment(),
    ErrorClass.THROTTLED: Treatment(cost=0.5, again=True, base=1.0),
    ErrorClass.TRANSIENT: Treatment(cost=1.4, again=True, base=0.05),
    ErrorClass.AMBIGUOUS: Treatment(cost=1.4, again=True, base=0.05),
    ErrorClass.FATAL: Treatment(),
}

CLASSES: Final[Mapping[type[ProxyError], ErrorClass]] = {
    errors.UpstreamUnreachable: ErrorClass.NEVER_SENT,
    errors.ProxyOverloaded: ErrorClass.NEVER_SENT,
    errors.UpstreamRateLimited: ErrorClass.THROTTLED,
    errors.UpstreamOverloaded: ErrorClass.THROTTLED,
    errors.UpstreamServerError: ErrorClass.TRANSIENT,
    errors.UpstreamTimeout: ErrorClass.AMBIGUOUS,
    errors.UpstreamProtocolError: ErrorClass.AMBIGUOUS,
    errors.UpstreamStreamBroken: ErrorClass.AMBIGUOUS,
}
"""Every other error is FATAL."""


def class_of(error: ProxyError) -> ErrorClass:
    """The class of an error of an attempt that has given no output."""
    return CLASSES.get(type(error), ErrorClass.FATAL)


class RetryBudget:
    """Bounds the retries that one provider's failures cause, so that they are no storm.

    It holds what came in during the last ten seconds less what went out: a little for every call, and a floor. Over any
    time, what goes out is at most what came in, and ten for each ten seconds.
    """

    __slots__ = ("_ratio", "_window")

    def __init__(self, ratio: float, window: Window | None = None) -> None:
        self._ratio = ratio
        self._window = window or Window()

    def at(self, ratio: float) -> "RetryBudget":
        """The same budget, to which a call adds another amount from now on."""
        return RetryBudget(ratio, self._window)

    def deposit(self, now: float) -> None:
        """A call made its first attempt."""
        self._window.add(self._ratio, now)

    def withdraw(self, cost: float, now: float) -> bool:
        """Pays for a retry; False, and nothing changes, if there is not enough."""
        if cost == 0.0:
            return True
        if self.balance(now) < cost:
            return False
        self._window.add(-cost, now)
        return True

    def balance(self, now: float) -> float:
        """What is left."""
        return FLOOR * SECONDS + self._window.total(now)


class Retries:
    """What all calls share to decide on attempts after the first.

    Args:
        config: How often a call is tried.
        clock: Monotonic seconds.
        random: For the waits.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        config: RetriesConfig,
        *,
        clock: Callable[[], float],
        random: Random,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._config = config
        self._random = random
        self._budgets: dict[str, RetryBudget] = {}
        self.clock = clock
        self.sleep = sleep

    def adopt(self, before: "Retries", providers: Iterable[str]) -> None:
        """Goes on with the budgets of these providers: a reload in an outage must not begin the storm anew."""
        ratio = self._config.budget_ratio
        self._budgets.update({name: before.budget(name).at(ratio) for name in providers})

    def budget(self, provider: str) -> RetryBudget:
        """The budget of one provider."""
        budget = self._budgets.get(provider)
        if budget is None:
            budget = self._budgets[provider] = RetryBudget(self._config.budget_ratio)
        return budget

    def pay(self, provider: str, error: ProxyError) -> bool:
        """Pays for going on after an error of a provider whose output was delivered; False if that cannot be."""
        treatment = TREATMENTS[class_of(error)]
        return treatment.again and self.budget(provider).withdraw(treatment.cost, self.clock())

    def allowed(self, asked: int | None, previous_attempts: int) -> int:
        """Most attempts of a call: the caller's wish within ours, and fewer the more often its library has tried."""
        most = self._config.max_attempts
        if asked is not None and 0 < asked < most:
            most = asked
        if previous_attempts:
            most = min(most, 2 if previous_attempts == 1 else 1)
        return most

    def wait(self, error: ProxyError, times: int, remaining: float) -> float | None:
        """Seconds before a target that has failed so many times, with this error last, is asked again.

        Args:
            error: How it failed.
            times: How often it has failed in this call.
            remaining: Seconds that the call has left.

        Returns:
            None if it must not be asked again: by the error's class, by its provider's word, or because it wants more
            time than there is.
        """
        treatment = TREATMENTS[class_of(error)]
        if not (treatment.again and error.again):
            return None
        asked = error.retry_after
        if asked is None:
            return self._jitter(treatment.base, times)
        if asked > self.longest_wait(remaining):
            return None
        # Whoever was told the same time need not come back at the same moment.
        return asked + self._jitter(TREATMENTS[ErrorClass.TRANSIENT].base, times)

    def longest_wait(self, remaining: float) -> float:
        """Seconds that a provider may ask us to wait within a call that has so many left."""
        return min(LONGEST_RETRY_AFTER, remaining / 2)

    def shuffled(self, indices: Sequence[int]) -> Sequence[int]:
        """The same in any order."""
        return self._random.sample(indices, len(indices))

    def _jitter(self, base: float, times: int) -> float:
        return self._random.uniform(0.0, min(LONGEST_BACKOFF, base * 2.0 ** (times - 1)))
