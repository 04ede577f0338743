"""`python -m bench.beside`: what chats feel of an export that leaves beside them.

The whole proxy, recording as by default, over a store filled before; its upstream is the stand-in. One process chats,
one call at a time, another exports over and over; each round measures chats alone, beside an export at full speed and
beside one at 50 MB/s, and the ratios of a round count.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc
from llmproxy_client import EXPORT_OPTIONS
from llmproxy_client.v1 import chat_pb2, content_pb2
from llmproxy_client.v1 import export_pb2 as pb
from llmproxy_client.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from msgspec import Struct

from bench.__main__ import CONFIGURATION
from bench.export_server import fill
from bench.processes import cores, running
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.sqlite.store import SqliteStore

CAP: Final = 50_000_000
QUESTION: Final = chat_pb2.ChatRequest(
    model="standin/answer",
    messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.ContentPart(text="Hello")])],
)


class Felt(Struct, frozen=True):
    """Of some chats: half took at most `middle`, and all but one in a hundred `late`, in milliseconds."""

    middle: float
    late: float


def chats(stub: LlmProxyServiceStub, calls: int) -> Felt:
    """Chats one call at a time."""
    took = []
    for _ in range(calls):
        begun = time.perf_counter()
        stub.Chat(QUESTION, timeout=30)
        took.append((time.perf_counter() - begun) * 1000)
    took.sort()
    return Felt(statistics.median(took), took[calls * 99 // 100])


@contextmanager
def exporting(address: str, cap: int) -> Iterator[None]:
    """Has a process of its own export over and over while the block runs; 0 is no cap."""
    command = [sys.executable, "-m", "bench.beside", "--read", address, str(cap)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
        try:
            assert reader.stdout is not None
            reader.stdout.readline()  # the first chunk is there
            yield
        finally:
            reader.terminate()


def read(address: str, cap: int) -> None:
    """Exports over and over."""
    with grpc.insecure_channel(address, options=list(EXPORT_OPTIONS)) as channel:
        stub = LlmProxyServiceStub(channel)
        while True:
            begun, size = time.perf_counter(), 0
            for answer in stub.Export(pb.ExportRequest(max_bytes_per_second=cap)):
                if not size and answer.HasField("chunk"):
                    print("begun", flush=True)
                size += len(answer.chunk.data)
            print(f"{size / (time.perf_counter() - begun) / 1e6:.0f} MB/s", file=sys.stderr, flush=True)


def measure(address: str, rounds: int, calls: int) -> None:
    """Prints the table."""
    with grpc.insecure_channel(address) as channel:
        stub = LlmProxyServiceStub(channel)
        chats(stub, calls)
        found: list[tuple[Felt, Felt, Felt]] = []
        for _ in range(rounds):
            alone = chats(stub, calls)
            with exporting(address, 0):
                flat_out = chats(stub, calls)
            with exporting(address, CAP):
                capped = chats(stub, calls)
            found.append((alone, flat_out, capped))
    print("| chats, one at a time | p50 | p99 | p50 beside that alone | goal |\n|---|---|---|---|---|")
    for index, (name, goal) in enumerate((("alone", ""), ("export at full speed", "3"), ("export at 50 MB/s", "1.3"))):
        middle = statistics.median(each[index].middle for each in found)
        late = statistics.median(each[index].late for each in found)
        ratios = sorted(each[index].middle / each[0].middle for each in found)
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"| {name} | {middle:.2f} ms | {late:.1f} ms | {spread} | {goal} |")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=__doc__)
    parser.add_argument("--records", type=int, default=50_000, help="records to export")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=500, help="chats of each measurement")
    parser.add_argument("--read", nargs=2, metavar=("ADDRESS", "CAP"), help="export alone, until it is ended")
    asked = parser.parse_args()
    if asked.read:
        read(asked.read[0], int(asked.read[1]))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fill(SqliteStore(Places(folder).store), asked.records)
        core, other = cores()
        with running([sys.executable, "-m", "bench.stand_in"], core=other, log=folder / "stand_in.log") as stand_in:
            command = [sys.executable, "-m", "llmproxy_grpc", "serve", "-c", str(CONFIGURATION)]
            command += ["--set", f"records.directory={folder}"]
            environment = {"BENCH_STAND_IN": stand_in.addresses["http"]}
            log = folder / "proxy.log"
            with running(command, core=core, further_cores=(other,), log=log, environment=environment) as server:
                measure(server.addresses["grpc"], asked.rounds, asked.calls)


if __name__ == "__main__":
    main()
