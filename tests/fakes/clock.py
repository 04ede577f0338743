"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Call it for monotonic seconds; `now()` is the wall clock, which goes with it."""

    def __init__(self, seconds: float = 1000.0, *, wall: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = seconds
        self._seconds = seconds
        self._wall = wall

    def __call__(self) -> float:
        return self._seconds

    def now(self) -> datetime:
        return self._wall + timedelta(seconds=self._seconds - self._start)

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("a monotonic clock never goes back")
        self._seconds += seconds
