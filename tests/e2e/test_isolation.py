"""What exports cost a server that serves others meanwhile, seen from outside: time of chats, memory, and places.

The bounds are ten times the figures to reach, as the machine that tests has other work: `python -m bench.beside` and
`python -m bench.export` measure the figures themselves.
"""

import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.store import Batch
from tests.e2e.conftest import Running, running
from tests.fakes.exports import a_chat
from tests.fakes.requests import chat_request

RECORDS, SIZE = 4000, 80_000
"""320 MB of lines, which is twice what the memory may grow by."""
MOST_GROWTH = 10 * 15 * 1024 * 1024
"""Bytes; an export takes some 15 MiB."""
FULL_SPEED, CAPPED = 10 * 3.0, 10 * 1.3
"""How many times longer a chat may take beside an export."""
CAP = 50_000_000
CALLS = 150
SOON = 10.0
"""Seconds; what a reader that has gone held is free within one."""
WRITE_TIMEOUT = 3.0

READER = """
import sys, grpc
from llmproxy_grpc._gen.v1 import export_pb2
from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
stub = LlmProxyServiceStub(grpc.insecure_channel(sys.argv[1]))
while True:
    for message in stub.Export(export_pb2.ExportRequest(max_bytes_per_second=int(sys.argv[2]))):
        if message.HasField("chunk"):
            print("chunk", flush=True)
"""
"""Exports over and over in a process of its own, and says when data comes."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One whose store was filled before it started."""
    folder = tmp_path_factory.mktemp("records")
    writer = SqliteStore(Places(folder).store).writer()
    now = time.time_ns() // 1000
    for start in range(0, RECORDS, 500):
        some = range(start, start + 500)
        writer.write(Batch(entries=[a_chat(f"{number} " * (SIZE // 8), "x", started_at=now) for number in some]))
    writer.close()
    config = {
        "providers": [{"name": "echo", "kind": "echo"}],
        "models": [{"id": "assistant", "targets": [{"provider": "echo", "model": "echo"}]}],
        "records": {"directory": str(folder)},
        "timeouts": {"write": f"{WRITE_TIMEOUT:g}s"},
    }
    with running(tmp_path_factory.mktemp("serving"), config) as server:
        yield server


@pytest.fixture
def stub(server: Running) -> Iterator[Any]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield LlmProxyServiceStub(channel)


@contextmanager
def reading(server: Running, cap: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A process that exports; data has come."""
    command = [sys.executable, "-c", READER, server.grpc, str(cap)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        try:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "chunk\n"
            yield reader
        finally:
            reader.kill()


def status_of(server: Running, name: str) -> int:
    """A number of what the kernel tells of the process; sizes in bytes."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    [found] = [line.split()[1:] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) * (1024 if found[1:] == ["kB"] else 1)


@contextmanager
def growing_little(server: Running) -> Iterator[None]:
    """The memory never grows by more than an export may take while the block runs."""
    before = status_of(server, "VmRSS")
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # what was the most is forgotten
    yield
    assert status_of(server, "VmHWM") - before < MOST_GROWTH


def exported(stub: Any) -> pb.ExportSummary:
    """Exports everything, keeping nothing."""
    for message in stub.Export(pb.ExportRequest(), timeout=60):
        last = message
    return last.summary


def a_free_place(stub: Any) -> bool:
    """Whether another export is let in."""
    call = stub.Export(pb.ExportRequest(), timeout=30)
    try:
        return next(call).HasField("header")
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    finally:
        call.cancel()


def until(condition: Callable[[], bool], within: float) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def middle(stub: Any) -> float:
    """How long half of some chats took at most, one at a time, in seconds."""
    took = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        stub.Chat(chat_request("Hello"), timeout=30)
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


def test_chats_go_on_beside_an_export(server, stub):
    middle(stub)
    alone = middle(stub)
    with reading(server):
        assert middle(stub) < FULL_SPEED * alone
    with reading(server, CAP):
        assert middle(stub) < CAPPED * alone


def test_an_export_of_much_more_than_the_memory_may_grow_by_is_whole(server, stub):
    exported(stub)
    with growing_little(server):
        assert exported(stub).written_records >= RECORDS


def test_readers_that_stall_cost_bounded_memory_and_lose_their_places(server, stub):
    until(lambda: a_free_place(stub), SOON)
    with growing_little(server), ExitStack() as readers:
        for _ in range(2):
            reader = readers.enter_context(reading(server))
            reader.send_signal(signal.SIGSTOP)
        assert not a_free_place(stub)
        assert middle(stub) < 1.0
        until(lambda: a_free_place(stub), WRITE_TIMEOUT + SOON)


def test_readers_that_vanish_leave_neither_thread_nor_place(server, stub):
    exported(stub)
    until(lambda: a_free_place(stub), SOON)
    before = status_of(server, "Threads")
    with growing_little(server):
        for _ in range(5):
            with reading(server), reading(server):
                assert not a_free_place(stub)
            until(lambda: a_free_place(stub), SOON)
    until(lambda: status_of(server, "Threads") < before + 5, SOON)  # ten exports had one each; other pools may grow
