"""The Go client: its own tests, and its tests and its example against the running server."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
