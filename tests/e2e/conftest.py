"""The real server as a process of its own, for the tests of this folder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

READY_WITHIN = 20.0
GONE_WITHIN = 10.0


@dataclass(frozen=True)
class Running:
    """A server that is ready: where it listens, its process, and the files that hold what it prints."""

    grpc: str
    http: str | None
    process: subprocess.Popen
    stdout: Path
    stderr: Path


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers: `serve(config, *arguments)` answers a ready one, which is ended with the test.

    The configuration is the text of a file, or a dict; a dict needs no listeners, a free port is put in.
    """
    with ExitStack() as servers:

        def start(config: str | dict, *arguments: str) -> Running:
            folder = tmp_path / f"server-{len(list(tmp_path.glob('server-*')))}"
            folder.mkdir()
            return servers.enter_context(running(folder, config, *arguments))

        yield start


@pytest.fixture(scope="session")
def echo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server of the kind echo, for every test that leaves it as it is."""
    echo = [{"provider": "echo", "model": "echo"}]
    config = {
        "providers": [{"name": "echo", "kind": "echo"}],
        # The names that the README's examples use.
        "models": [{"id": name, "targets": echo} for name in ("assistant", "local/smollm2-135m")],
        "default_model": "assistant",
    }
    with running(tmp_path_factory.mktemp("echo-server"), config) as server:
        yield server


@contextmanager
def running(folder: Path, config: str | dict, *arguments: str, ends_with: int = 0) -> Iterator[Running]:
    """Runs a server in `folder` until the block is left; it must end with this status, by SIGTERM if nothing else."""
    folder.mkdir(exist_ok=True)
    file = folder / "llmproxy.yaml"
    file.write_text(config if isinstance(config, str) else json.dumps(with_listeners(config)))
    stdout, stderr = folder / "stdout", folder / "stderr"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMPROXY_")}
    command = [sys.executable, "-m", "llmproxy_grpc", "serve", "-c", str(file), *arguments]
    with (
        stdout.open("wb") as out,
        stderr.open("wb") as err,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err) as process,
    ):
        try:
            yield wait_until_ready(process, stdout, stderr)
        finally:
            status = end(process)
    assert status == ends_with, f"the server ended with status {status}:\n{stderr.read_text()}"


def with_listeners(config: dict) -> dict:
    """Adds what a test seldom cares for: a free port, and no waiting at the end."""
    grpc = {"listen": "127.0.0.1:0", "predrain": 0, "grace": 2, **config.get("grpc", {})}
    return {**config, "grpc": grpc, "http": config.get("http", {"listen": None})}


def wait_until_ready(process: subprocess.Popen, stdout: Path, stderr: Path) -> Running:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        lines = stdout.read_text().splitlines()
        if "ready" in lines:
            addresses = dict(line.split(" ", 1) for line in reversed(lines) if line.startswith(("grpc ", "http ")))
            return Running(addresses["grpc"], addresses.get("http"), process, stdout, stderr)
        time.sleep(0.02)
    raise AssertionError(f"not ready (status {process.poll()}):\n{stdout.read_text()}\n{stderr.read_text()}")


def end(process: subprocess.Popen) -> int:
    """Ends the process as an operator would, by force after GONE_WITHIN seconds; answers its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(GONE_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
