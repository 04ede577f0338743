"""The Go client: its own tests, and its tests and its example against the running server."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from llmproxy_client import Client, connect, export
from llmproxy_client.dataset import Progress, begun_at
from llmproxy_client.v1.chat_pb2 import ChatRequest
from llmproxy_client.v1.content_pb2 import ROLE_USER, ContentPart, Message
from llmproxy_client.v1.export_pb2 import LABEL_OPERATOR_IN, ExportFilter, ExportRequest, LabelCondition

BEGUN = 1_800_000_000.5
"""When an export began, by which "30d" of its command is understood."""
MODULE = Path(__file__).resolve().parents[2] / "clients" / "go"

# The first build compiles gRPC, which takes minutes on a small machine.
pytestmark = pytest.mark.timeout(600)


def run_go(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs go in the module, with the pins as they are and without a server unless the environment names one."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LLMPROXY_")}
    settings = {"GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local", **environment}
    return subprocess.run(
        [find_go(), *arguments],
        cwd=MODULE,
        env={**inherited, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def find_go() -> str:
    """The go that GO names, else that of the development environment, else the machine's."""
    beside_us = Path(sys.executable).parent
    go = os.environ.get("GO") or shutil.which("go", path=f"{beside_us}{os.pathsep}{os.environ['PATH']}")
    assert go, "no go: install the dev dependencies, or Go"
    return go


def results_of(run: subprocess.CompletedProcess) -> dict[str, str]:
    """What became of each test of a `go test -json`: pass, fail or skip."""
    events = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    return {
        event["Test"]: event["Action"]
        for event in events
        if event["Action"] in ("pass", "fail", "skip") and "Test" in event
    }


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = tmp_path_factory.mktemp("go") / "example"
    built = run_go("build", "-o", str(binary), "./example")
    assert built.returncode == 0, built.stderr
    return binary


def ask(example: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([example, *arguments], capture_output=True, text=True, check=False, timeout=30)


def test_the_go_module_is_vetted_and_formatted():
    vetted = run_go("vet", "./...")
    assert vetted.returncode == 0, vetted.stderr
    gofmt = Path(run_go("env", "GOROOT").stdout.strip()) / "bin" / "gofmt"
    sources = [str(path) for path in MODULE.rglob("*.go")]
    assert subprocess.run([gofmt, "-l", *sources], capture_output=True, text=True, check=True).stdout == ""


def test_the_go_clients_own_tests_need_no_server():
    run = run_go("test", "-json", "./...")
    assert run.returncode == 0, run.stdout + run.stderr
    needs_server = {name for name in results_of(run) if name.startswith("TestServer")}
    skipped = {name for name, action in results_of(run).items() if action == "skip"}
    assert needs_server
    assert skipped == needs_server


def test_the_go_client_works_with_the_running_server(echo_server):
    run = run_go(
        "test", "-json", "-count=1", "-run", "^TestServer", "./llmproxy", LLMPROXY_TEST_TARGET=echo_server.grpc
    )
    assert run.returncode == 0, run.stdout + run.stderr
    results = results_of(run)
    assert len(results) >= 10
    assert set(results.values()) == {"pass"}, results


def test_an_export_is_handed_from_the_python_client_to_the_go_client_and_back(echo_server, tmp_path):
    with connect(echo_server.grpc) as client:
        request = slowly(record(client, 40))
        whole = export(client.stub, request, tmp_path / "whole")
        begin_and_leave(client, request, tmp_path / "data")
        environment = {"LLMPROXY_TEST_TARGET": echo_server.grpc, "LLMPROXY_TEST_FOLDER": str(tmp_path / "data")}
        run = run_go("test", "-count=1", "-run", "^TestServerExportIsHandedOn$", "./llmproxy", **environment)
        assert run.returncode == 0, run.stdout + run.stderr
        assert begun_at(tmp_path / "data") == BEGUN
        came = []
        manifest = export(client.stub, request, tmp_path / "data", on_progress=came.append)
    assert 2 <= came[0].records < 40
    assert [file["sha256"] for file in manifest["files"]] == [file["sha256"] for file in whole["files"]]
    assert all(file["verified"] for file in manifest["files"])


def record(client: Client, count: int) -> ExportFilter:
    """Makes calls under a label of their own, waits until they are stored, and gives the filter that finds them."""
    found = ExportFilter(labels=[LabelCondition(key="run", operator=LABEL_OPERATOR_IN, values=["handed on"])])
    for number in range(count):
        message = Message(role=ROLE_USER, parts=[ContentPart(text=f"word{number} " * 2000)])
        chat = ChatRequest(model="echo/echo", messages=[message], labels={"run": "handed on"})
        client.stub.Chat(chat, timeout=30)
    deadline = time.monotonic() + 30
    while list(client.stub.Export(ExportRequest(filter=found, plan_only=True)))[-1].summary.matched_records < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def slowly(found: ExportFilter) -> ExportRequest:
    """In small pieces, and no faster than a caller can leave between two of them."""
    return ExportRequest(filter=found, max_chunk_bytes=4096, max_bytes_per_second=400_000)


def begin_and_leave(client: Client, request: ExportRequest, folder: Path) -> None:
    def leave(progress: Progress) -> None:
        if progress.records:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(client.stub, request, folder, begun_at=BEGUN, on_progress=leave)


def test_the_go_example_streams_an_answer(echo_server, example):
    run = ask(example, echo_server.grpc, "echo/echo", "Good morning to you")
    assert (run.returncode, run.stdout, run.stderr) == (0, "Good morning to you\n", "")


def test_the_go_example_says_why_a_call_failed(echo_server, example):
    run = ask(example, echo_server.grpc, "no-such-model", "Good morning to you")
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("NotFound MODEL_NOT_FOUND: ")


def test_the_go_example_explains_its_usage(example):
    run = ask(example)
    assert (run.returncode, run.stderr) == (2, "usage: example TARGET MODEL PROMPT\n")
