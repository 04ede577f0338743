"""The benchmark's own child processes: started on a core of their choice, observed from outside, and ended."""

import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 30.0
"""Longest wait for a child to say that it is ready, and for it to end, in seconds."""


class ServerFailed(Exception):
    """A child did not start, or ended too early."""


class Server:
    """A running child that printed `NAME ADDRESS` lines and `ready`."""

    def __init__(self, process: subprocess.Popen[bytes], *, addresses: Mapping[str, str], start_seconds: float) -> None:
        self.pid = process.pid
        self.addresses = addresses
        self.start_seconds = start_seconds
        self._process = process

    def cpu_seconds(self) -> float:
        """Gives the CPU time used so far, that of its children included."""
        return sum(cpu_seconds(pid) for pid in (self.pid, *children(self.pid)))

    def memory_mib(self) -> float:
        """Gives the resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 2**20

    def stop(self) -> None:
        """Asks the child to end, and insists after a while."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def cpu_seconds(pid: int) -> float:
    """Gives the CPU time that a process has used, all its threads included."""
    # Linux: the id of another process's CPU clock, in nanoseconds.
    return time.clock_gettime((~pid << 3) | 2)


def children(pid: int) -> list[int]:
    """Gives the processes that a process has started and that run, such as workers."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


@contextmanager
def running(
    command: Sequence[str],
    *,
    core: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    further_cores: Sequence[int] = (),
) -> Iterator[Server]:
    """Runs a server on one core, or on a few, until the block ends; standard error goes to `log`.

    Raises:
        ServerFailed: it was not ready in time.
    """
    with log.open("wb") as errors, on_core(core, *further_cores):
        begun = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **(environment or {})}
        )
    with process:
        try:
            addresses = _addresses(process, deadline=begun + PATIENCE, log=log)
            server = Server(process, addresses=addresses, start_seconds=time.monotonic() - begun)
        except BaseException:
            process.kill()
            raise
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def on_core(*allowed: int) -> Iterator[None]:
    """Runs what starts in the block on one core, or on a few."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(allowed))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores() -> tuple[int, int]:
    """Chooses a core for the server and another one, if there is one, for everything else."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def raise_file_limit(wanted: int = 8192) -> None:
    """Lets the children open enough connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def _addresses(process: subprocess.Popen[bytes], *, deadline: float, log: Path) -> dict[str, str]:
    addresses: dict[str, str] = {}
    for line in _lines(process, deadline=deadline):
        if line == "ready":
            return addresses
        name, _, address = line.partition(" ")
        addresses[name] = address
    words = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise ServerFailed(f"{process.args!r}: not ready\n{words}")


def _lines(process: subprocess.Popen[bytes], *, deadline: float) -> Iterator[str]:
    """Gives the lines as they come, past the pipe's buffer, which `select` cannot see."""
    if process.stdout is None:
        return
    descriptor = process.stdout.fileno()
    rest = b""
    while (left := deadline - time.monotonic()) > 0 and select.select([descriptor], [], [], left)[0]:
        data = os.read(descriptor, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").strip()
