"""`python -m bench.records`: what recording costs a call, and how fast the ingester is beside the calls.

One worker without records, one that spools while somebody else ingests, and one that does both. What the second has
spooled is then moved into a store, by itself and against the clock.
"""

import argparse
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import measure
from bench.__main__ import CONFIGURATION, Bench
from bench.measure import Round
from bench.processes import cores, raise_file_limit, running
from bench.scenarios import BURST, CHAT, shortened
from llmproxy_grpc.records.election import elect
from llmproxy_grpc.records.ingester import Ingester
from llmproxy_grpc.records.lines import openai_chat_line
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.quarantine import Quarantine
from llmproxy_grpc.records.spool.segments import segments
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.tally import Tally

OFF, SPOOL, WHOLE = "off", "spool", "spool and ingest"
MICROSECONDS = 1e6


def command(folder: Path | None) -> Sequence[str]:
    """What runs a proxy that keeps its records in a folder, or none."""
    settings = ["records.enabled=false"] if folder is None else [f"records.directory={folder}"]
    return ["llmproxy_grpc", "serve", "-c", str(CONFIGURATION), "--set", settings[0]]


def figures(rounds: Mapping[str, Sequence[Round]]) -> dict[str, tuple[float, float, float]]:
    """Of each server: microseconds of CPU a call, median latency in milliseconds, calls a second."""
    return {
        name: (
            statistics.median(each.cpu / each.calls for each in measured) * MICROSECONDS,
            statistics.median(each.timing.quantile(0.5) for each in measured) * 1e3,
            statistics.median(each.calls / each.timing.wall for each in measured),
        )
        for name, measured in rounds.items()
    }


def ingestion(places: Places) -> tuple[int, float, float]:
    """Moves everything from the spool into a new store; how many records that were, seconds of the clock and of CPU."""
    writer = SqliteStore(places.store).writer()
    ingester = Ingester(
        places.spool,
        writer,
        Tally(),
        quarantine=Quarantine(places.quarantine),
        render=openai_chat_line,
        clock_us=lambda: time.time_ns() // 1000,
    )
    begun, cpu, moved = time.perf_counter(), time.process_time(), 0
    while segments(places.spool):
        moved += ingester.move()
    measured = moved, time.perf_counter() - begun, time.process_time() - cpu
    writer.close()
    return measured


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.records", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer rounds")
    options = parser.parse_args()
    raise_file_limit()
    loads = [shortened(load) if options.quick else load for load in (CHAT, BURST)]
    with tempfile.TemporaryDirectory(prefix="llmproxy-bench-") as directory, ExitStack() as stack:
        folder = Path(directory)
        places = Places(folder / "held")
        office = elect(places.ingester_lock)
        stand_in = [sys.executable, "-m", "bench.stand_in"]
        server = stack.enter_context(running(stand_in, core=cores()[1], log=folder / "stand_in.log"))
        bench = Bench(server.addresses["http"], directory=folder)
        commands = {OFF: command(None), SPOOL: command(places.folder), WHOLE: command(folder / "whole")}
        starts = {name: functools.partial(bench.subject, name, each) for name, each in commands.items()}
        costs = {}
        with measure.all_running(starts) as subjects:
            print("| load | records | CPU a call | more | p50 | calls/s |\n|---|---|---|---|---|---|")
            for load in loads:
                measured = figures(measure.under_load(load, subjects))
                for name, (cpu, median, rate) in measured.items():
                    more = cpu - measured[OFF][0]
                    print(f"| {load.title} | {name} | {cpu:.0f} µs | {more:+.0f} µs | {median:.2f} ms | {rate:.0f} |")
                costs[load.name] = measured[OFF][0]
        if office is not None:
            office.resign()
        moved, seconds, cpu = ingestion(places)
        each = cpu / moved * MICROSECONDS
        print(f"\nIngestion alone: {moved / seconds:.0f} records/s, {each:.0f} µs of CPU a record,")
        print(f"{costs[CHAT.name] / each:.1f} times as fast as a worker's Chat by CPU.")


if __name__ == "__main__":
    main()
