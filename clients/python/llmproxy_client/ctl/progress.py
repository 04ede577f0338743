"""A line that says how far an export is, on a terminal that somebody watches."""

import time
from collections.abc import Callable
from typing import Final

from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.dataset import Progress

EVERY: Final = 0.2
"""Seconds between two lines."""
WIDTH: Final = 24
_SCALES: Final = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


class ProgressLine:
    """Shows a bar, the rate and the time that is left; nothing where nobody watches."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._clock = clock
        self._began = clock()
        self._shown = self._began - EVERY
        self._before: Progress | None = None

    def show(self, progress: Progress) -> None:
        """Shows how far it is, five times a second at most."""
        now = self._clock()
        if self._before is None:
            self._before, self._began = progress, now
        if now - self._shown < EVERY:
            return
        self._shown = now
        self._terminal.progress(self._line(progress, now - self._began))

    def end(self) -> None:
        """Clears the line."""
        self._terminal.progress("")

    def _line(self, progress: Progress, seconds: float) -> str:
        before = self._before.bytes if self._before is not None else 0
        rate = (progress.bytes - before) / seconds if seconds > 0 else 0.0
        words = [f"{progress.records:,} records", size(progress.bytes), f"{size(rate)}/s"]
        if progress.searching:
            words.append("searching")
        share = _share(progress)
        if share is None:
            return ", ".join(words)
        done = round(share * WIDTH)
        if rate > 0 and 0 < share < 1:
            words.append(f"{duration(progress.bytes * (1 - share) / share / rate)} left")
        return f"[{'#' * done}{'.' * (WIDTH - done)}] {share:.0%} {', '.join(words)}"


def size(count: float) -> str:
    """A number of bytes, for people."""
    scale, unit = next(((scale, unit) for scale, unit in _SCALES if count >= scale), (1, "B"))
    return f"{count / scale:.1f} {unit}" if scale > 1 else f"{count:.0f} B"


def duration(seconds: float) -> str:
    """A number of seconds, for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _share(progress: Progress) -> float | None:
    """What of the export is there, by bytes or records; None if that is not known."""
    pairs = ((progress.records, progress.selected_records), (progress.bytes, progress.estimated_bytes))
    return next((min(1.0, have / want) for have, want in pairs if want > 0), None)
