"""`python -m bench.export`: how fast exports leave beside streams without a store, and their memory.

One server process over one store of its own; every figure of a table is of the same run, and the ratios count.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import grpc
from llmproxy_client import EXPORT_OPTIONS
from llmproxy_client.v1 import export_pb2 as pb
from llmproxy_client.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from msgspec import Struct

from bench.export_server import USUAL, store_path
from bench.processes import Server, cores, running

MIB = 2**20
LINE = 2048
RARE = pb.ExportFilter(
    labels=[pb.LabelCondition(key="tier", operator=pb.LABEL_OPERATOR_IN, values=["rare"])],
    feedback=[pb.FeedbackCondition(name="helpful", thumbs_up=True)],
)


class Taken(Struct, frozen=True):
    """What came of one stream: bytes of data, and seconds to the end and to the first of them."""

    size: int
    seconds: float
    first: float

    @property
    def rate(self) -> float:
        """Megabytes a second."""
        return self.size / self.seconds / 1e6


Stream = Callable[[], Iterator[pb.ExportResponse]]


class Scenario(Struct, frozen=True):
    """One kind of export, and the least share of the chunked synthetic stream's rate that it shall have; 0 for none."""

    name: str
    request: pb.ExportRequest
    target: float = 0.0


EXPORTS = (
    Scenario("stored lines", pb.ExportRequest(), 0.5),
    Scenario("stored lines, each checked", pb.ExportRequest(output=pb.ExportOutput(fail_on_invalid=True)), 0.4),
    Scenario(
        "stored lines, all eleven classes masked",
        pb.ExportRequest(output=pb.ExportOutput(redaction=pb.Redaction(mode=pb.REDACTION_MODE_MASK))),
        0.2,
    ),
    Scenario("stored lines, zstd", pb.ExportRequest(output=pb.ExportOutput(compression=pb.EXPORT_COMPRESSION_ZSTD))),
    Scenario("records themselves", pb.ExportRequest(output=pb.ExportOutput(format=pb.EXPORT_FORMAT_RECORDS))),
    Scenario("made anew as SHAREGPT", pb.ExportRequest(output=pb.ExportOutput(format=pb.EXPORT_FORMAT_SHAREGPT))),
    Scenario(
        "planned: exact repeats, split, shuffled",
        pb.ExportRequest(
            selection=pb.ExportSelection(
                deduplication=pb.DEDUPLICATION_EXACT,
                order=pb.EXPORT_ORDER_SHUFFLED,
                split=pb.Split(validation_fraction=0.1),
            )
        ),
    ),
)


def take(stream: Stream) -> Taken:
    """Reads a stream to its end."""
    begun = time.perf_counter()
    first, size = 0.0, 0
    for answer in stream():
        payload = answer.WhichOneof("payload")
        if payload not in ("chunk", "records"):
            continue
        first = first or time.perf_counter() - begun
        size += len(answer.chunk.data) if payload == "chunk" else answer.records.ByteSize()
    return Taken(size, time.perf_counter() - begun, first)


class Peak:
    """The most memory that a server has while a block runs, above what it had before."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self.mib = 0.0

    def __enter__(self) -> Self:
        self._before = self._server.memory_mib()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.mib = max(self.mib, self._server.memory_mib() - self._before)


def measure(server: Server, rounds: int) -> None:
    """Prints the tables of one store."""
    channel = grpc.insecure_channel(server.addresses["grpc"], options=list(EXPORT_OPTIONS))
    stub = LlmProxyServiceStub(channel)
    synthetic = channel.unary_stream(
        "/bench/Synthetic",
        request_serializer=pb.ExportChunk.SerializeToString,
        response_deserializer=pb.ExportResponse.FromString,
    )

    def made(size: int, total: int) -> Stream:
        return lambda: synthetic(pb.ExportChunk(record_count=size, crc32c=total))

    with Peak(server) as peak:
        total = take(lambda: stub.Export(EXPORTS[0].request)).size
    _row("first export of the store: memory", f"+{peak.mib:.0f} MiB", "<= 32")
    chunks, lines = made(65_536, total), made(LINE, total // 8)
    for scenario in EXPORTS:
        taken, share = _beside(chunks, lambda scenario=scenario: stub.Export(scenario.request), rounds)
        target = f" (>= {scenario.target})" if scenario.target else ""
        _row(scenario.name, f"{taken.rate:.0f} MB/s", f"{share:.2f}{target}")
        if scenario is EXPORTS[0]:
            whole = taken
            _row("  its first chunk", f"{taken.first * 1000:.1f} ms", "<= 50")
    _row("stored lines: the server's CPU", *_cpu(server, chunks, lambda: stub.Export(EXPORTS[0].request), rounds))
    single, share = _beside(chunks, lines, rounds)
    _row("a line a message, made of nothing", f"{single.rate:.0f} MB/s", f"{share:.3f}")
    _row("stored lines beside that", "", f"{whole.rate / single.rate:.1f} times (>= 8)")
    rare, _ = _beside(chunks, lambda: stub.Export(pb.ExportRequest(filter=RARE)), rounds)
    _row(
        "0.3 % by label and judgement", f"{rare.seconds * 1000:.1f} ms", f"{rare.seconds / whole.seconds:.3f} (<= 0.03)"
    )
    channel.close()


def _beside(base: Stream, stream: Stream, rounds: int) -> tuple[Taken, float]:
    """The run in the middle, and the share of the base's rate in the middle: each run has one of the base before it."""
    pairs = [(take(base), take(stream)) for _ in range(rounds)]
    runs = sorted((taken for _, taken in pairs), key=lambda taken: taken.seconds)
    shares = sorted(taken.rate / before.rate for before, taken in pairs)
    return runs[rounds // 2], shares[rounds // 2]


def _cpu(server: Server, base: Stream, stream: Stream, rounds: int) -> tuple[str, str]:
    """The CPU time of a stream, in the middle of the rounds, and beside the base; other programs do not count."""

    def cost(of: Stream) -> float:
        begun = server.cpu_seconds()
        return take(of).size / 1e9 / (server.cpu_seconds() - begun)

    pairs = [(cost(base), cost(stream)) for _ in range(rounds)]
    before, after = (1 / sorted(rates)[rounds // 2] for rates in zip(*pairs, strict=True))
    return f"{after:.1f} ms/MB", f"{after / before:.1f} times"


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.export", description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[100_000], help="records of each store")
    parser.add_argument("--words", type=int, default=USUAL, help="words in each of a record's six texts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keeps the stores there, for another run")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        for records in asked.records:
            print(f"\n{records} records of {6 * asked.words} words\n\n| what | figure | share |\n|---|---|---|")
            command = [sys.executable, "-m", "bench.export_server", str(folder), str(records), str(asked.words)]
            if not store_path(folder, records, asked.words).exists():
                subprocess.run([*command, "fill"], check=True)
            core, other = cores()
            with running(command, core=core, further_cores=(other,), log=folder / "server.log") as server:
                measure(server, asked.rounds)


if __name__ == "__main__":
    main()
