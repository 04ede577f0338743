"""`llmproxyctl export` as a process: whole, killed, interrupted, on a full disk, and from a server that goes away."""

import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llmproxy_client import connect
from llmproxy_client.v1.chat_pb2 import ChatRequest
from llmproxy_client.v1.content_pb2 import ROLE_USER, ContentPart, Message
from llmproxy_client.v1.export_pb2 import ExportRequest

from tests.e2e.conftest import Running, running

CHATS = 60
WORDS = 4000
SPLIT = ("-o", "dataset", "--validation", "0.3")
SLOWLY = ("--max-rate", "1M")
"""Takes some seconds: time enough to be cut off in the middle."""
COMMAND = (*SPLIT, *SLOWLY)
WITHIN = 30.0


def a_server(folder: Path, port: int = 0) -> dict[str, Any]:
    return {
        "grpc": {"listen": f"127.0.0.1:{port}", "grace": 0.2},  # less than a slow export takes
        "providers": [{"name": "echo", "kind": "echo"}],
        "discovery": "off",
        "records": {"directory": str(folder)},
    }


def record(target: str) -> None:
    """Makes the calls, and waits until they are in the store."""

    def ask(number: int) -> None:
        text = f"{number} " + f"word{number} " * WORDS
        message = Message(role=ROLE_USER, parts=[ContentPart(text=text)])
        client.stub.Chat(ChatRequest(model="echo/echo", messages=[message]), timeout=WITHIN)

    with connect(target) as client:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, range(CHATS)))
        until(lambda: stored(client.stub) == CHATS)


def stored(stub: Any) -> int:
    plan = list(stub.Export(ExportRequest(plan_only=True), timeout=WITHIN))
    return plan[-1].summary.matched_records


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of records that no server holds."""
    folder = tmp_path_factory.mktemp("records")
    with running(tmp_path_factory.mktemp("recording"), a_server(folder)) as server:
        record(server.grpc)
    return folder


@pytest.fixture(scope="module")
def server(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("serving"), a_server(records)) as server:
        yield server


class Export:
    """`llmproxyctl export` against one server, in a folder of its own."""

    def __init__(self, target: str, folder: Path) -> None:
        self.target, self.folder = target, folder

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "llmproxyctl", "export", *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMPROXY_")}
        environment["LLMPROXY_TARGET"] = self.target
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=environment, **pipes, **more)

    def __call__(self, *arguments: str, **more: Any) -> tuple[int, str, str]:
        return ended(self.start(*arguments, **more))

    def state(self) -> dict[str, Any]:
        """What an export to `dataset` has left so far; empty where there is nothing to go on from."""
        file = self.folder / "dataset.partial" / "state.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def came(self) -> bool:
        """Whether a part of the data is safe, and not all of it."""
        return any(part["size"] for part in self.state().get("parts", ()))


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=WITHIN)
    return process.returncode, out, err


def files(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of data in a folder."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    return {name: sha256 for name, sha256 in found.items() if name not in ("README.md", "manifest.json")}


@pytest.fixture
def port() -> int:
    """One that is free, for a server that comes back to it."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.fixture
def export(server: Running, tmp_path: Path) -> Export:
    return Export(server.grpc, tmp_path)


@pytest.fixture(scope="module")
def whole(server: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of an export that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    status, _, err = Export(server.grpc, folder)(*SPLIT)
    assert (status, err) == (0, "")
    return files(folder / "dataset")


def test_a_whole_export_leaves_a_folder_and_says_what_is_in_it(export):
    status, out, err = export(*SPLIT)

    assert (status, err) == (0, "")
    assert f"{CHATS} of {CHATS} records are in dataset; what comes later: --after-seq {CHATS}\n" in out
    assert sorted(path.name for path in export.folder.iterdir()) == ["dataset"]
    found = sorted(path.name for path in (export.folder / "dataset").iterdir())
    assert found == ["README.md", "manifest.json", "train.jsonl", "validation.jsonl"]
    manifest = json.loads((export.folder / "dataset" / "manifest.json").read_text())
    assert {file["name"]: file["sha256"] for file in manifest["files"]} == files(export.folder / "dataset")
    assert all(file["verified"] for file in manifest["files"])


def test_a_plan_writes_nothing(export):
    status, out, err = export("--plan", "--validation", "0.3")

    assert (status, err) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in out.splitlines() if not line.startswith(("estimated", "as of")))
    assert (rows["matched"], rows["selected"]) == (str(CHATS), str(CHATS))
    assert list(export.folder.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        ("--validation", "0.3"),
        ("--shuffle", "--seed", "7", "--redact", "token", "--parquet"),
        ("--format", "records"),
    ],
)
def test_a_killed_export_goes_on_to_the_same_bytes(export, options):
    assert export("-o", "whole", *options)[0] == 0
    process = export.start("-o", "dataset", *options, *SLOWLY)
    until(export.came)
    process.send_signal(signal.SIGKILL)
    assert ended(process)[0] == -signal.SIGKILL
    came = export.state()["parts"]
    assert not (export.folder / "dataset").exists()
    status, out, err = export("-o", "dataset", *options, *SLOWLY)

    assert (status, f"{CHATS} of {CHATS} records" in out) == (0, True), err
    assert files(export.folder / "dataset") == files(export.folder / "whole")
    whole_size = sum((export.folder / "whole" / part["name"]).stat().st_size for part in came)
    assert 0 < sum(part["size"] for part in came) < whole_size
    assert sorted(path.name for path in export.folder.iterdir()) == ["dataset", "whole"]


def test_an_interrupted_export_says_that_it_can_go_on_and_does(export, whole):
    process = export.start(*COMMAND)
    until(export.came)
    process.send_signal(signal.SIGINT)

    said = "llmproxyctl: a part of dataset has come; the same command goes on from there\n"
    assert ended(process) == (130, "", said)
    assert export(*COMMAND)[0] == 0
    assert files(export.folder / "dataset") == whole


@pytest.mark.parametrize(("how", "ends_with"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_export_outlasts_a_server_that_comes_back(how, ends_with, records, port, whole, tmp_path):
    export = Export(f"127.0.0.1:{port}", tmp_path)
    with running(tmp_path / "first", a_server(records, port), ends_with=ends_with) as server:
        process = export.start(*COMMAND)
        until(export.came)
        server.process.send_signal(how)
    assert process.poll() is None
    with running(tmp_path / "second", a_server(records, port)):
        status, out, err = ended(process)

    assert (status, f"{CHATS} of {CHATS} records" in out) == (0, True), err
    assert err.splitlines()[0].startswith("llmproxyctl: UNAVAILABLE")
    assert files(export.folder / "dataset") == whole


def test_an_export_to_a_full_disk_goes_on_when_there_is_room_again(export, whole):
    status, out, err = export(*COMMAND, preexec_fn=with_little_room)
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "llmproxyctl: File too large",
        "llmproxyctl: a part of dataset has come; the same command goes on from there",
    ]
    assert export(*COMMAND)[0] == 0
    assert files(export.folder / "dataset") == whole


def with_little_room() -> None:
    """Lets no file grow beyond what the train part takes, as a full disk would."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))


def test_a_folder_that_is_there_stays_as_it_is(export):
    (export.folder / "dataset").mkdir()
    (export.folder / "dataset" / "mine.txt").write_text("mine")
    assert export("-o", "dataset") == (
        1,
        "",
        "llmproxyctl: dataset is there already; name another folder, or remove it\n",
    )
    assert [path.name for path in (export.folder / "dataset").iterdir()] == ["mine.txt"]


def test_a_wrong_filter_is_named_and_leaves_nothing(export):
    status, out, err = export(
        "-o", "dataset", "--record", "abc", "--method", "chat", "--redact-class", "EMAIL", "--redact", "mask"
    )
    assert (status, out) == (1, "")
    assert "  filter.record_ids[0]: must be the id of a record: a UUID\n" in err
    assert "  filter.methods[0]: must be an RPC of the service, such as Chat\n" in err
    assert list(export.folder.iterdir()) == []


def test_a_plan_is_written_by_its_id(export, whole):
    _, out, _ = export("--plan", "--validation", "0.3")
    plan = out.splitlines()[-1].split()
    assert plan[0] == "plan"
    assert export("--plan-id", plan[1], "-o", "dataset")[0] == 0
    assert files(export.folder / "dataset") == whole


def test_an_export_as_of_a_position_holds_what_was_stored_up_to_there(export):
    status, out, _ = export("--as-of-seq", "7", "-o", "dataset")
    assert (status, "7 of 7 records are in dataset; what comes later: --after-seq 7\n" in out) == (0, True)
