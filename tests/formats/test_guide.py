"""The guide for data people, held against the code."""

import hashlib
import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.json_format import Parse
from llmproxy_client.ctl.arguments import parser
from llmproxy_client.ctl.export_options import request_of

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.datasets.formats import WITHOUT_REASONING_FIELD
from llmproxy_grpc.datasets.options import Format
from llmproxy_grpc.datasets.redaction import CLASSES
from llmproxy_grpc.datasets.skipping import SkipReason

PAGE = (Path(__file__).parents[2] / "docs/export_dataset.md").read_text()


def first_column(head):
    table = re.search(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table
    return [re.match(r"\| `(\w+)` \|", line)[1] for line in table[1].splitlines()]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands():
    """Those of the examples, and those of cells that are options alone."""
    lines = [line for block in blocks("") for line in block.splitlines() if line.startswith("llmproxyctl")]
    cells = [cell.strip() for line in PAGE.splitlines() if line.startswith("| ") for cell in line.split("|")]
    options = [cell for cell in cells if re.fullmatch(r"`--[^`]+`(, `--[^`]+`)*", cell)]
    assert len(options) > 15
    return [shlex.split(line)[1:] for line in lines] + [
        ["export", "-o", "x", *shlex.split(cell.replace("`, `", " ").strip("`"))] for cell in options
    ]


def test_every_reason_is_explained():
    assert first_column("reason") == [reason.value for reason in SkipReason]


def test_every_format_and_class_is_explained():
    assert first_column("format") == [*(form.name for form in Format), "RECORDS"]
    assert set(first_column("class")) == set(CLASSES)
    assert {form.name for form in WITHOUT_REASONING_FIELD} == {"SHAREGPT", "ALPACA"}


@pytest.mark.parametrize("command", commands(), ids=lambda command: " ".join(command[1:])[:50])
def test_every_command_is_one(command):
    given = parser({}).parse_args(command)
    assert isinstance(request_of(given, datetime.now(UTC)).SerializeToString(), bytes)


def test_the_nested_filter_is_a_filter():
    (nested,) = [block for block in blocks("json") if "any_of" in block]
    assert len(Parse(nested, pb.ExportFilter()).any_of) == 2


def test_the_program_that_checks_a_manifest_tells_right_from_wrong(tmp_path):
    (program,) = blocks("python")
    folder = tmp_path / "dataset"
    folder.mkdir()
    data = b'{"messages":[]}\n'
    file = {"name": "train.jsonl", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = {"files": [file], "written_records": 1, "matched_records": 2, "skipped_records": {"no_answer": 1}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for content, status in ((data, 0), (b"x" + data, 1)):
        (folder / "train.jsonl").write_bytes(content)
        run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == status, run.stderr
