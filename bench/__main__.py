"""`python -m bench`: runs the stand-in, the floor and the proxy, measures them, and prints a Markdown table."""

import argparse
import functools
import importlib.metadata
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import measure, report
from bench.driver import DriverFailed
from bench.measure import Start, Subject
from bench.processes import ServerFailed, cores, raise_file_limit, running
from bench.proof import CallFailed
from bench.scenarios import LIMITS, LOADS, shortened

CONFIGURATION = Path(__file__).with_name("llmproxy.yaml")
SCENARIOS = (*(load.name for load in LOADS), "start", "memory")


class Bench:
    """One run: the stand-in, and the servers that it is asked to start."""

    def __init__(self, stand_in: str, *, directory: Path) -> None:
        self._stand_in = stand_in
        self._directory = directory
        self.commands = {
            "floor": ["bench.floor", f"http://{stand_in}/v1"],
            "proxy": ["llmproxy_grpc", "serve", "-c", str(CONFIGURATION)],
        }
        """What each server is: a module and its arguments."""

    def starts(self, names: Sequence[str]) -> dict[str, Start]:
        """Gives what starts each server."""
        return {name: functools.partial(self.subject, name, self.commands[name]) for name in names}

    @contextmanager
    def subject(self, name: str, module: Sequence[str]) -> Iterator[Subject]:
        """Runs a server, a module with its arguments, until the block ends; its logs go to a file."""
        server_core, driver_core = cores()
        log = self._directory / f"{name}.log"
        environment = {"BENCH_STAND_IN": self._stand_in, "BENCH_RECORDS": str(self._directory / f"{name}-records")}
        command = [sys.executable, "-m", *module]
        with running(command, core=server_core, log=log, environment=environment) as server:
            yield Subject(server, stand_in=self._stand_in, core=driver_core, directory=self._directory)

    def rows(self, names: Sequence[str], scenarios: Sequence[str], *, quick: bool) -> Iterator[report.Row]:
        """Measures, scenario by scenario."""
        starts = self.starts(names)
        loads = [shortened(load) if quick else load for load in LOADS if load.name in scenarios]
        if loads:
            with measure.all_running(starts) as subjects:
                for load in loads:
                    yield from report.load_rows(load, measure.under_load(load, subjects))
        if "start" in scenarios:
            yield report.start_row(measure.start_seconds(starts, 1 if quick else 5))
        if "memory" in scenarios:
            yield from report.memory_rows(measure.memory(starts, LIMITS.streams))


def main() -> int:
    """Runs the benchmark; gives 1 if a call failed or could not be made, never for a missed target."""
    options = _options()
    raise_file_limit()
    try:
        with tempfile.TemporaryDirectory(prefix="llmproxy-bench-") as directory:
            _run(options, Path(directory))
    except (CallFailed, DriverFailed, ServerFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace, directory: Path) -> None:
    stand_in = [sys.executable, "-m", "bench.stand_in"]
    with running(stand_in, core=cores()[1], log=directory / "stand_in.log") as server:
        bench = Bench(server.addresses["http"], directory=directory)
        if options.profile:
            _profile(bench, options, directory)
            return
        rows = list(bench.rows(options.servers, options.only, quick=options.quick))
    print(f"{_surroundings()}\n\n{report.table(rows)}")


def _profile(bench: Bench, options: argparse.Namespace, directory: Path) -> None:
    """Prints where each server's Python code spends its time."""
    for load in LOADS:
        for name in options.servers if load.name in options.only else ():
            shares = directory / "shares"
            module, *arguments = bench.commands[name]
            with bench.subject(name, ["bench.sampler", str(shares), module, *arguments]) as subject:
                subject.warm_up(load)
                os.kill(subject.server.pid, signal.SIGUSR2)
                subject.round(load)
            print(f"{name}, {load.title}: {shares.read_text(encoding='utf-8')}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look of some thirty seconds: smaller and fewer rounds")
    parser.add_argument(
        "--only", nargs="+", choices=SCENARIOS, default=SCENARIOS, metavar="SCENARIO", help=", ".join(SCENARIOS)
    )
    parser.add_argument("--servers", nargs="+", choices=("floor", "proxy"), default=("floor", "proxy"))
    parser.add_argument("--profile", action="store_true", help="sample where the time goes in place of measuring")
    return parser.parse_args()


def _surroundings() -> str:
    versions = " · ".join(f"{name} {importlib.metadata.version(name)}" for name in ("grpcio", "aiohttp", "uvloop"))
    machine = f"{_processor()}, {os.cpu_count()} cores · {platform.system()}"
    return f"{machine} · Python {platform.python_version()} · {versions}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
