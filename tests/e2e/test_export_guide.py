"""The guide for data people, followed word by word: its commands run, and its programs read what they left."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llmproxy_client import connect
from llmproxy_client.ctl.cli import run
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.v1.chat_pb2 import ChatRequest
from llmproxy_client.v1.content_pb2 import ROLE_USER, ContentPart, Message
from llmproxy_client.v1.export_pb2 import ExportRequest
from llmproxy_client.v1.feedback_pb2 import RecordFeedbackRequest

from tests.e2e.conftest import Running, running

PAGE = (Path(__file__).parents[2] / "docs/export_dataset.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [shlex.split(line) for _, block in BLOCKS for line in block.splitlines() if line.startswith("llmproxyctl ")]
CHATS = 60
WITHIN = 30.0


def column(head: str, at: int) -> list[str]:
    """The options in a column of the table whose head begins so."""
    table = re.search(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table
    cells = [line.strip().strip("|").split(" | ")[at] for line in table[1].splitlines()]
    return [options for cell in cells for options in re.findall(r"`(--[^`]+)`", cell)]


def program(language: str, word: str) -> str:
    (found,) = (block for name, block in BLOCKS if name == language and word in block)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Of an application whose users judge some of what it answers."""
    config = {"providers": [{"name": "echo", "kind": "echo"}], "discovery": "off", "records": {"enabled": True}}
    with running(tmp_path_factory.mktemp("serving"), config) as server:
        record(server, CHATS)
        yield server


def record(server: Running, count: int) -> None:
    """Makes calls, judges them, and waits until both are stored."""
    with connect(server.grpc) as client:
        before = as_of(client.stub)
        for number in range(count):
            asked = Message(role=ROLE_USER, parts=[ContentPart(text=f"Where is the refund of order {number}?")])
            chat = ChatRequest(model="echo/echo", messages=[asked], labels={"app": "search"})
            chat.conversation_id = f"order {number}"
            answer = client.stub.Chat(chat, timeout=WITHIN)
            judgement = RecordFeedbackRequest(record_id=answer.id, name="helpful", thumbs_up=True, source="user")
            client.stub.RecordFeedback(judgement, timeout=WITHIN)
        deadline = time.monotonic() + WITHIN
        while as_of(client.stub) != (before[0] + count, before[1] + count):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def as_of(stub: Any) -> tuple[int, int]:
    header = next(iter(stub.Export(ExportRequest(plan_only=True), timeout=WITHIN))).header
    return header.as_of_seq, header.as_of_feedback_seq


def typed(server: Running, folder: Path, command: list[str]) -> str:
    """What a command prints that succeeds, as it is typed in a folder."""
    environment = {**os.environ, "LLMPROXY_TARGET": server.grpc}
    words = [sys.executable, "-m", *command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def executed(folder: Path, text: str) -> str:
    """What a program prints, which finds nothing on the network."""
    environment = {**os.environ, "HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def followed(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the first command of the page was typed."""
    folder = tmp_path_factory.mktemp("followed")
    typed(server, folder, COMMANDS[0])
    return folder


def test_the_first_command_leaves_what_the_page_says(followed):
    found = {path.name for path in (followed / "dataset").iterdir()}
    assert found == {"train.jsonl", "validation.jsonl", "manifest.json", "README.md"}


def test_the_manifest_is_checked_by_the_program_of_the_page(followed):
    assert executed(followed, program("python", "hashlib")) == f"{CHATS} of {CHATS} records; {{}}\n"


@pytest.mark.parametrize("loading", [program("", "load_dataset"), 'dataset = load_dataset("dataset")\n'])
def test_datasets_loads_the_files_as_the_page_does_and_as_the_card_says(followed, loading):
    text = "from datasets import load_dataset\nimport json\n" + loading
    text += "print(json.dumps({name: part.to_list() for name, part in dataset.items()}))"
    expected = {part: lines(followed / "dataset" / f"{part}.jsonl") for part in ("train", "validation")}
    assert json.loads(executed(followed, text)) == expected


def test_the_card_tells_what_the_manifest_tells(followed):
    card = (followed / "dataset" / "README.md").read_text()
    manifest = json.loads((followed / "dataset" / "manifest.json").read_text())
    for file in manifest["files"]:
        assert f"| {file['name']} | {file['record_count']} | {file['size']} | `{file['sha256']}` |\n" in card
    assert f"{CHATS} records matched, {CHATS} were written.\n" in card
    assert f"`--after-seq {manifest['as_of_seq']}`" in card


@pytest.mark.parametrize("options", [*column("what for", 1), *column("option", 0)])
def test_every_option_of_the_tables_works_as_it_is_printed(server, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "filter.json").write_text(program("json", "any_of"))
    terminal = Terminal(io.StringIO(), io.StringIO())
    given = options.replace("48213", "1").replace("902", "1")  # positions that this server has reached
    command = ["export", "-o", "dataset", *shlex.split(given)]
    assert run(command, {"LLMPROXY_TARGET": server.grpc}, terminal, io.BytesIO()) == 0, terminal.err.getvalue()
    assert json.loads((tmp_path / "dataset" / "manifest.json").read_text())["as_of_seq"] > 0


@pytest.mark.usefixtures("followed")  # which counts what is there before the days go on
def test_the_days_together_are_one_export_and_each_can_be_made_again(server, tmp_path):
    _, monday, tuesday = COMMANDS
    typed(server, tmp_path, monday)
    manifest = json.loads((tmp_path / "monday" / "manifest.json").read_text())
    record(server, 3)
    typed(server, tmp_path, [word.replace("48213", str(manifest["as_of_seq"])) for word in tuesday])
    export = [*monday[: monday.index("-o")], "-o"]
    typed(server, tmp_path, [*export, "both"])
    then = ["--as-of-seq", str(manifest["as_of_seq"]), "--as-of-feedback-seq", str(manifest["as_of_feedback_seq"])]
    typed(server, tmp_path, [*export, "again", *then])

    days = {path.name: (path / "train.jsonl").read_bytes() for path in tmp_path.iterdir()}
    assert len(days["tuesday"].splitlines()) == 3
    assert days["monday"] + days["tuesday"] == days["both"]
    assert days["again"] == days["monday"]
