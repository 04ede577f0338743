"""`python -m bench.workers`: what a call costs with several workers beside one, and how 40 connections fall on them."""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from bench import measure
from bench.__main__ import CONFIGURATION
from bench.driver import DriverFailed
from bench.measure import Round, Subject
from bench.processes import ServerFailed, cores, raise_file_limit, running
from bench.proof import CallFailed
from bench.scenarios import CHAT

CONNECTIONS: Final = 40
LOAD: Final = replace(CHAT, title="Chat, 40 connections", connections=CONNECTIONS, in_flight=1)
MOST: Final = 1.1
"""The most CPU that a call may take with several workers, as a multiple of that with one."""


def measured(
    counts: Sequence[int], rounds: int, directory: Path, *, records: bool
) -> tuple[Mapping[int, list[Round]], list[int]]:
    """Runs a server for each number of workers; gives their rounds, and the calls of each worker of the last."""
    server_core, driver_core = cores()
    with ExitStack() as stack:
        stand_in = stack.enter_context(
            running([sys.executable, "-m", "bench.stand_in"], core=driver_core, log=directory / "stand_in.log")
        )
        address = stand_in.addresses["http"]
        subjects: dict[str, Subject] = {}
        for count in counts:
            settings = [f"--set=grpc.workers={count}", f"--set=records.enabled={str(records).lower()}"]
            command = [sys.executable, "-m", "llmproxy_grpc", "serve", "-c", str(CONFIGURATION), *settings]
            log = directory / f"{count}.log"
            environment = {"BENCH_STAND_IN": address, "BENCH_RECORDS": str(directory / f"{count}-records")}
            # A core for each worker, as in production; where there are too few, the load is made on one of them.
            further = sorted(os.sched_getaffinity(0) - {server_core})[: count - 1]
            server = stack.enter_context(
                running(command, core=server_core, further_cores=further, log=log, environment=environment)
            )
            subjects[str(count)] = Subject(server, stand_in=address, core=driver_core, directory=directory)
        results = measure.under_load(replace(LOAD, rounds=rounds), subjects)
    return {int(count): each for count, each in results.items()}, _calls_by_worker(directory / f"{counts[-1]}.log")


def _calls_by_worker(log: Path) -> list[int]:
    lines = (json.loads(line) for line in log.read_text(encoding="utf-8").splitlines())
    counted = Counter(line["worker"] for line in lines if line["event"] == "call" and "worker" in line)
    return [calls for _, calls in sorted(counted.items())]


def table(results: Mapping[int, Sequence[Round]], calls: Sequence[int]) -> str:
    """The figures as a Markdown table; the ratio is the median of the rounds' ratios."""
    (one, first), (several, second) = results.items()
    cost = {count: [each.cpu / each.calls * 1e6 for each in rounds] for count, rounds in results.items()}
    ratio = statistics.median(b / a for a, b in zip(cost[one], cost[several], strict=True))
    met = "met" if ratio <= MOST else "missed"
    rate = [statistics.median(each.calls / each.timing.wall for each in rounds) for rounds in (first, second)]
    shares = " : ".join(f"{each / sum(calls):.0%}" for each in calls)
    costs = f"{statistics.median(cost[one]):.0f} | {statistics.median(cost[several]):.0f}"
    return "\n".join(
        [
            f"| {LOAD.title} | {one} worker | {several} workers | ratio | target | |",
            "|---|---:|---:|---:|---:|---|",
            f"| CPU per call of all processes, µs | {costs} | {ratio:.2f} | ≤ {MOST:g} x | {met} |",
            f"| calls a second | {rate[0]:.0f} | {rate[1]:.0f} | | | |",
            f"| calls by worker | | {shares} | | 60 % at most | |",
        ]
    )


def main() -> int:
    """Runs the benchmark; gives 1 if a call failed, never for a missed target."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="how many are compared with one")
    parser.add_argument("--rounds", type=int, default=LOAD.rounds, help="rounds that count")
    parser.add_argument("--without-records", action="store_true", help="calls are not recorded")
    options = parser.parse_args()
    raise_file_limit()
    try:
        with tempfile.TemporaryDirectory(prefix="llmproxy-bench-") as directory:
            records = not options.without_records
            print(table(*measured((1, options.workers), options.rounds, Path(directory), records=records)))
    except (CallFailed, DriverFailed, ServerFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
