"""Runs a module and samples its Python stack, each few CPU milliseconds from SIGUSR2 on; writes the shares at the end.

A sample taken while C code runs counts for the Python function that called it.
"""

import runpy
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

INTERVAL = 0.001
"""Seconds of CPU time between two samples."""
ROWS = 45


class Sampler:
    """Counts in which functions the main thread is found."""

    def __init__(self) -> None:
        self._own: Counter[CodeType] = Counter()
        self._total: Counter[CodeType] = Counter()

    def start(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Begins to sample."""
        signal.signal(signal.SIGPROF, self.sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def stop(self) -> None:
        """Ends it."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def sample(self, _signal: int, frame: FrameType | None) -> None:
        """Counts the function that runs now, and once each that waits for it."""
        codes = list(_codes(frame))
        if codes:
            self._own[codes[0]] += 1
            self._total.update(set(codes))

    def lines(self) -> Iterator[str]:
        """Gives the table: share alone, share with what it calls, function."""
        samples = self._own.total()
        yield f"{samples} samples"
        yield f"{'alone':>7} {'with callees':>12}"
        for code, own in self._own.most_common(ROWS):
            yield f"{own / samples:7.1%} {self._total[code] / samples:12.1%}  {_title(code)}"
        yield f"{'alone':>7} {'with callees':>12}"
        for code, total in self._total.most_common(ROWS):
            yield f"{self._own[code] / samples:7.1%} {total / samples:12.1%}  {_title(code)}"


def main() -> None:
    """Runs `FILE MODULE ARGUMENT…`: the module with these arguments; the shares go to the file."""
    target, module, *arguments = sys.argv[1:]
    sampler = Sampler()
    signal.signal(signal.SIGUSR2, sampler.start)
    # A module that does not care for SIGTERM itself ends orderly all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sampler.stop()
        Path(target).write_text("\n".join(sampler.lines()) + "\n", encoding="utf-8")


def _codes(frame: FrameType | None) -> Iterator[CodeType]:
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


def _title(code: CodeType) -> str:
    return f"{code.co_qualname} ({'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_firstlineno})"


if __name__ == "__main__":
    main()
