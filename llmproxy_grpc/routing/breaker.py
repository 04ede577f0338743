"""A circuit breaker as a pure state machine: fed with results, asked whether to call; time and chance are handed in."""

from enum import IntEnum
from random import Random
from typing import Final

from llmproxy_grpc.config.schema import BreakerConfig
from llmproxy_grpc.routing.window import Window

SUCCESSES_CLOSE: Final = 3
"""Probes in a row that must succeed for an open circuit to close."""
LONGEST_PROBE: Final = 30.0
"""Seconds after which a probe without a result counts as failed."""
BETWEEN_TRIALS: Final = 1.0
"""Seconds between two calls that a circuit lets through when there is nobody else to call."""
SLOW_RATIO: Final = 0.8
"""Share of slow calls that opens a circuit."""
JITTER: Final = (0.75, 1.25)
"""Circuits that opened together should not be probed together."""
MOST_DOUBLINGS: Final = 16


class State(IntEnum):
    """Whether calls pass; a worse state is greater."""

    CLOSED = 0
    HALF_OPEN = 1
    """One at a time, to see."""
    OPEN = 2


class Breaker:
    """One circuit. `now` is a monotonic time in seconds.

    Whoever calls says so to `begin`, and hands back the number that it gives with the result: that tells the probes of
    a circuit that has opened from calls that began before.

    Args:
        config: When it opens, and for how long.
        random: Spreads the time that it stays open.
    """

    __slots__ = (
        "_calls",
        "_config",
        "_failures",
        "_next_probe",
        "_open_until",
        "_opened",
        "_probe",
        "_probed_at",
        "_random",
        "_slow",
        "_state",
        "_successes",
        "streak",
    )

    def __init__(self, config: BreakerConfig, random: Random) -> None:
        self._config = config
        self._random = random
        self._state = State.CLOSED
        self._calls, self._failures, self._slow = Window(), Window(), Window()
        self.streak = 0
        """Failures in a row."""
        self._opened = 0
        self._open_until = 0.0
        self._successes = 0
        self._probe = 0
        self._probed_at = 0.0
        self._next_probe = 1

    @property
    def closed(self) -> bool:
        """Whether it is closed, which does not change by time alone."""
        return self._state is State.CLOSED

    @property
    def open_until(self) -> float:
        """When it will be half open."""
        return self._open_until

    @property
    def trial_at(self) -> float:
        """When a call may begin all the same, where nobody else can be called."""
        return self._probed_at + BETWEEN_TRIALS

    def state(self, now: float) -> State:
        """The state at a time."""
        if self._state is State.OPEN and now >= self._open_until:
            self._state = State.HALF_OPEN
            self._probe = 0
        if self._state is State.HALF_OPEN and self._probe and now - self._probed_at >= LONGEST_PROBE:
            # It may succeed yet, late: what has succeeded so far is not forgotten.
            self._reopen(now)
        return self._state

    def admits(self, now: float) -> bool:
        """Whether a call may begin."""
        if self._state is State.CLOSED:
            return True
        return self.state(now) is State.HALF_OPEN and not self._probe

    def admits_trial(self, now: float) -> bool:
        """Whether a call may begin all the same, where nobody else can be called: one a second."""
        return self.admits(now) or now >= self.trial_at

    def begin(self, now: float) -> int:
        """A call begins that was admitted; gives what its result is told with."""
        if self._state is State.CLOSED:
            return 0
        self._probe, self._next_probe = self._next_probe, self._next_probe + 1
        self._probed_at = now
        return self._probe

    def succeed(self, now: float, probe: int = 0, *, slow: bool = False) -> int:
        """A call succeeded; gives how many had failed in a row before it."""
        streak = self.streak
        if self._state is State.CLOSED:
            self.streak = 0
            self._calls.add(1.0, now)
            if slow:
                self._slow.add(1.0, now)
                if self._exceeds(self._slow, SLOW_RATIO, now):
                    self._open(now)
        elif probe:
            self._leave(probe)
            self._successes += 1
            if self._successes >= SUCCESSES_CLOSE:
                self.close()
            elif self._state is State.OPEN:
                self._state = State.HALF_OPEN
        return streak

    def fail(self, now: float, probe: int = 0) -> None:
        """A call failed."""
        self._calls.add(1.0, now)
        self._failed(now, probe, self.streak + 1)

    def spoil(self, now: float, probe: int, streak: int) -> None:
        """A call that had succeeded has failed after all; `streak` is what its success gave."""
        self._failed(now, probe, max(self.streak, streak) + 1)

    def abandon(self, probe: int) -> None:
        """A call ended without saying anything of the target."""
        self._leave(probe)

    def open(self, until: float) -> None:
        """Opens it until a time, because others have seen that it must be."""
        self._state = State.OPEN
        self._open_until = max(self._open_until, until)

    def judge_by(self, config: BreakerConfig, now: float) -> None:
        """Takes other settings: what it has seen stays, and it stays open no longer than they let it."""
        self._config = config
        self._open_until = min(self._open_until, now + config.max_open * JITTER[1])

    def close(self) -> None:
        """Closes it, and forgets what was."""
        self._state = State.CLOSED
        self.streak = self._opened = self._successes = self._probe = 0
        for window in (self._calls, self._failures, self._slow):
            window.clear()

    def _failed(self, now: float, probe: int, streak: int) -> None:
        if self._state is State.CLOSED:
            self.streak = streak
            self._failures.add(1.0, now)
            ratio = self._config.failure_ratio
            if streak >= self._config.consecutive_failures or self._exceeds(self._failures, ratio, now):
                self._open(now)
        elif probe:
            self._leave(probe)
            self._successes = 0
            if self._state is State.HALF_OPEN:
                self._reopen(now)

    def _exceeds(self, window: Window, ratio: float, now: float) -> bool:
        calls = self._calls.total(now)
        return calls >= self._config.minimum_calls and window.total(now) >= ratio * calls

    def _leave(self, probe: int) -> None:
        if probe and probe == self._probe:
            self._probe = 0

    def _open(self, now: float) -> None:
        self._probed_at = now
        self._successes = 0
        self._reopen(now)

    def _reopen(self, now: float) -> None:
        span = min(self._config.max_open, self._config.open * 2.0 ** min(self._opened, MOST_DOUBLINGS))
        self._opened += 1
        self._state = State.OPEN
        self._open_until = now + span * self._random.uniform(*JITTER)
        self._probe = 0
