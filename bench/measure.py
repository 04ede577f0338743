"""Measures servers under the same load, turn by turn, so that what else the machine does hits them alike."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import msgspec

from bench import proof
from bench.driver import Driver, Timing
from bench.processes import Server
from bench.scenarios import STALL, Load

SETTLE = 1.0
"""Seconds that a server is left alone before its memory or its CPU is read: records are stored behind the calls."""


class Round(msgspec.Struct, frozen=True):
    """One round: CPU seconds of the server process, and what its callers saw."""

    calls: int
    cpu: float
    timing: Timing


class Memory(msgspec.Struct, frozen=True):
    """Resident memory in MiB: of a fresh server, and what open streams that wait add."""

    idle: float
    streams: float


class Subject:
    """A running server with what is needed to load it."""

    def __init__(self, server: Server, *, stand_in: str, core: int, directory: Path) -> None:
        self.server = server
        self._stand_in = stand_in
        self._metrics = server.addresses.get("http")
        self._address = server.addresses["grpc"]
        self._driver = Driver(self._address, core=core, directory=directory)

    def warm_up(self, load: Load) -> None:
        """Checks one answer in full, then makes a quarter of a round of calls."""
        proof.check(self._address, load)
        self._proven(load, max(load.calls // 4, load.connections * load.in_flight))

    def round(self, load: Load) -> Round:
        """Measures one round of calls.

        Raises:
            CallFailed: a call was not OK.
        """
        return self._proven(load, load.calls)

    def memory(self, streams: int) -> Memory:
        """Measures the memory, idle and with so many open streams of which each had its first output.

        Raises:
            CallFailed: the streams did not open, or did not end when their callers left.
        """
        time.sleep(SETTLE)
        idle = self.server.memory_mib()
        with self._driver.held_open(msgspec.structs.replace(STALL, calls=streams)):
            self._wait_for_open(streams)
            time.sleep(SETTLE)
            held = self.server.memory_mib()
        self._wait_for_open(0)
        return Memory(idle=idle, streams=held - idle)

    def _proven(self, load: Load, calls: int) -> Round:
        before = proof.read_tally(self._stand_in, self._metrics)
        begun = self.server.cpu_seconds()
        timing = self._driver.drive(load, calls)
        time.sleep(SETTLE)
        cpu = self.server.cpu_seconds() - begun
        after = proof.settled_tally(self._stand_in, self._metrics, before, calls)
        proof.prove(before, after, calls)
        return Round(calls=calls, cpu=cpu, timing=timing)

    def _wait_for_open(self, streams: int) -> None:
        deadline = time.monotonic() + 20.0
        while (count := proof.read_count(self._stand_in).open) != streams:
            if time.monotonic() > deadline:
                raise proof.CallFailed(f"{count} streams are open at the stand-in in place of {streams}")
            time.sleep(0.05)


Start = Callable[[], AbstractContextManager[Subject]]
"""Starts a fresh server."""


def under_load(load: Load, subjects: Mapping[str, Subject]) -> dict[str, list[Round]]:
    """Measures each server in turn, the other one first in every second round."""
    for subject in subjects.values():
        subject.warm_up(load)
    rounds: dict[str, list[Round]] = {name: [] for name in subjects}
    for number in range(load.rounds):
        names = list(subjects) if number % 2 == 0 else list(subjects)[::-1]
        for name in names:
            rounds[name].append(subjects[name].round(load))
    return rounds


def memory(starts: Mapping[str, Start], streams: int) -> dict[str, Memory]:
    """Measures the memory of fresh servers."""
    measured = {}
    for name, start in starts.items():
        with start() as subject:
            measured[name] = subject.memory(streams)
    return measured


def start_seconds(starts: Mapping[str, Start], times: int) -> dict[str, float]:
    """Gives the median of the seconds from the command to `ready`."""
    seconds: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(times):
        for name, start in starts.items():
            with start() as subject:
                seconds[name].append(subject.server.start_seconds)
    return {name: statistics.median(values) for name, values in seconds.items()}


@contextmanager
def all_running(starts: Mapping[str, Start]) -> Iterator[dict[str, Subject]]:
    """Runs every server until the block ends."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(start()) for name, start in starts.items()}
