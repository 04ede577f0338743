"""`llmproxyctl export` and `feedback`: options, what is printed, and how it ends."""

import json
import time
from datetime import UTC, datetime

import grpc
import pytest
import zstandard
from google.rpc.error_details_pb2 import ErrorInfo

from llmproxy_client.ctl import arguments
from llmproxy_client.ctl.export_options import request_of
from llmproxy_client.ctl.progress import ProgressLine, duration
from llmproxy_client.ctl.terminal import Terminal
from llmproxy_client.dataset import Progress, plain
from llmproxy_client.v1.export_pb2 import ExportRecord, ExportResponse

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LINES = [f'{{"text": "ü{number}"}}\n'.encode() for number in range(5)]


def test_a_filter_from_a_file_is_added(tmp_path):
    (tmp_path / "f.json").write_text('{"anyOf": [{"models": ["a"]}], "providers": ["p"]}')
    given = arguments.parser({}).parse_args(["export", "--model", "m", "--filter", str(tmp_path / "f.json")])
    found = request_of(given, NOW).filter

    assert (list(found.models), list(found.providers), len(found.any_of)) == (["m"], ["p"], 1)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["export"], "-o DIR"),
        (["export", "-o", "x", "--format", "xml"], "invalid choice"),
        (["export", "-o", "x", "--since", "yesterday"], "7d"),
        (["export", "-o", "x", "--since", "99999999d"], "7d"),
        (["export", "-o", "x", "--after-seq", "-1"], "as_of_seq"),
        (["export", "-o", "x", "--code", "fine"], "gRPC code"),
        (["export", "-o", "x", "--finish-reason", "bored"], "none of"),
        (["export", "-o", "x", "--label", "=a"], "empty"),
        (["export", "-o", "x", "--seed", "9223372036854775808"], "64 bits"),
        (["export", "-o", "x", "--group-by", "record"], "--validation"),
        (["export", "-o", "x", "--min-gap", "0.5"], "--pairs score"),
        (["export", "-o", "x", "--label", ""], "empty"),
        (["export", "-o", "x", "--feedback", "a=maybe"], "up, down"),
        (["export", "-o", "x", "--feedback", "a>=much"], "not a number"),
        (["export", "-o", "x", "--feedback", "a>1"], "NAME>=0.5"),
        (["export", "-o", "x", "--feedback", "=up"], "NAME=up"),
        (["export", "-o", "x", "--feedback", ""], "NAME=up"),
        (["export", "-o", "x", "--part", "train"], "--validation"),
        (["export", "-o", "x", "--feedback-source", "user"], "needs --feedback"),
        (["export", "-o", "x", "--in-role", "user"], "--contains"),
        (["export", "-o", "x", "--case-sensitive"], "--contains"),
        (["export", "-o", "x", "--contains", "a", "--in-role", "critic"], "none of"),
        (["export", "-o", "x", "--plan-id", "p", "--model", "m"], "has frozen them"),
        (["export", "-o", "x", "--plan-id", "p", "--shuffle"], "has frozen them"),
        (["export", "-o", "x", "--stratify-by", "app"], "--sample"),
        (["export", "-o", "x", "--redact-class", "EMAIL"], "--redact"),
        (["export", "-o", "x", "--pairs", "score", "--pairs-by", "q"], "--format openai_preference"),
        (["export", "-o", "x", "--pairs-by", "q"], "--prefer-demonstration"),
        (["export", "-o", "x", "--format", "trl_preference", "--pairs-by", "q"], "--pairs"),
        (["export", "-o", "x", "--format", "trl_kto"], "--pairs-by"),
        (["export", "-o", "x", "--where", "size>=1"], "output_tokens"),
        (["export", "-o", "x", "--where", "cost=1"], "FIELD>=N"),
        (["export", "-o", "x", "--where", "cost>=nan"], "not a number"),
        (["export", "-o", "x", "--validation", "1.5"], "from 0 to 1"),
        (["export", "-o", "x", "--sample", "200%"], "from 0 to 1"),
        (["export", "-o", "x", "--limit", "-3"], "whole number"),
        (["export", "-o", "x", "--limit", "0"], "at least 1"),
        (["export", "-o", "x", "--max-tokens", "0"], "at least 1"),
        (["export", "-o", "x", "--max-rate", "fast"], "50M"),
        (["export", "-o", "x", "--filter", "/nonexistent.json"], "/nonexistent.json"),
        (["export", "-o", "x", "--parquet", "--format", "csv"], "JSON Lines"),
        (["feedback", "r1"], "required"),
        (["feedback", "r1", "--up", "--down"], "not allowed"),
        (["feedback", "r1", "--score", "nan"], "not a number"),
        (["feedback", "r1", "--comment", "\udcff"], "UTF-8"),
    ],
)
def test_wrong_usage_says_why_and_asks_nothing(ctl, script, capsys, argv, words):
    with pytest.raises(SystemExit) as ended:
        ctl(*argv)

    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: llmproxyctl {argv[0]} ")
    assert words in said
    assert not script.asked


@pytest.mark.parametrize("text", ["[]", '""', "null", "5", '[{"models": ["m"]}]'])
def test_a_file_that_is_no_filter_never_means_all_records(ctl, script, capsys, tmp_path, text):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(SystemExit):
        ctl("export", "--plan", "--filter", str(tmp_path / "f.json"))

    assert "f.json: not a JSON object, as an ExportFilter is" in capsys.readouterr().err
    assert not script.asked


def test_an_export_from_so_long_ago_goes_on_where_it_was_cut_off(ctl, script, dataset, tmp_path):
    command = ["export", "-o", str(tmp_path / "data"), "--since", "30d"]
    script.exported = dataset(*LINES)[:3]
    assert ctl(*command) == 1
    assert ctl(*command[:-1], "31d") == 1
    assert "--restart" in ctl.err
    script.exported = dataset(*LINES)
    time.sleep(0.01)
    assert ctl(*command) == 0

    assert [asked.resume_token for asked in script.asked] == ["", "2"]
    assert script.asked[0].filter == script.asked[1].filter


def test_a_token_that_is_too_old_names_the_option_that_begins_anew(ctl, script, refusal, dataset, tmp_path):
    command = ["export", "-o", str(tmp_path / "data")]
    script.exported = dataset(*LINES)[:3]
    assert ctl(*command) == 1
    script.error = refusal(
        grpc.StatusCode.FAILED_PRECONDITION, "gone", ErrorInfo(reason="RESUME_TOKEN_EXPIRED", domain="llmproxy")
    )
    assert ctl(*command) == 1
    assert "--restart" in ctl.err


def test_what_was_refused_before_anything_came_leaves_nothing(ctl, script, refusal, dataset, tmp_path):
    script.error = refusal(grpc.StatusCode.INVALID_ARGUMENT, "no such class")
    assert ctl("export", "-o", str(tmp_path / "data"), "--redact", "mask", "--redact-class", "email") == 1
    assert list(tmp_path.iterdir()) == []

    script.error, script.exported = None, dataset(*LINES)
    assert ctl("export", "-o", str(tmp_path / "data"), "--redact", "mask", "--redact-class", "EMAIL") == 0


def test_an_export_says_what_it_has_written_and_how_to_go_on(ctl, script, dataset, tmp_path):
    script.exported = dataset(*LINES)
    assert ctl("export", "-o", str(tmp_path / "data"), "--max-rate", "100k") == 0

    assert "train.jsonl" in ctl.out
    assert "5 of 6 records are in" in ctl.out
    assert "left out: 1 no_answer" in ctl.out
    assert "--after-seq 90" in ctl.out
    assert ctl.err == ""
    assert script.asked[0].max_bytes_per_second == 100_000


@pytest.mark.parametrize("option", [["--until", "2026-01-01T00:00:00Z"], ["--limit", "5"]], ids=["time", "number"])
def test_where_some_were_left_for_another_time_no_position_says_what_comes_next(ctl, script, dataset, tmp_path, option):
    script.exported = dataset(*LINES)
    assert ctl("export", "-o", str(tmp_path / "data"), *option) == 0

    assert "5 of 6 records are in" in ctl.out
    assert "--after-seq" not in ctl.out
    card = (tmp_path / "data" / "README.md").read_text()
    assert "hash of every file are in `manifest.json`." in card
    assert "--after-seq" not in card


def test_a_file_that_may_hold_what_was_erased_meanwhile_is_named(ctl, script, dataset, tmp_path):
    script.exported = dataset(*LINES)
    for message in script.exported:
        if message.HasField("file"):
            message.file.sha256 = b""
    assert ctl("export", "-o", str(tmp_path / "data")) == 0
    assert "train.jsonl: records were erased" in ctl.err
    assert "--restart" in ctl.err


def test_so_is_one_that_cannot_be_unpacked_here_either(ctl, script, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(plain, "_zstandard", lambda: None)
    script.exported = dataset(*LINES, compress=zstandard.compress)
    for message in script.exported:
        if message.HasField("file"):
            message.file.sha256 = b""
    assert ctl("export", "-o", str(tmp_path / "data"), "--compress", "zstd") == 0
    assert "train.jsonl.zst: records were erased" in ctl.err


def test_typed_records_which_have_no_hash_raise_no_alarm(ctl, script, dataset, tmp_path):
    script.exported = [
        dataset()[0],
        ExportResponse(records={"records": [ExportRecord(id="r1")]}),
        ExportResponse(summary={"matched_records": 1, "written_records": 1}),
    ]
    assert ctl("export", "-o", str(tmp_path / "data"), "--format", "records") == 0
    assert "1 of 1 records are in" in ctl.out
    assert ctl.err == ""


def test_what_cannot_be_unpacked_here_is_said_to_be_unchecked_rather_than_erased(
    ctl, script, dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr(plain, "_zstandard", lambda: None)
    script.exported = dataset(*LINES, compress=zstandard.compress)
    assert ctl("export", "-o", str(tmp_path / "data"), "--compress", "zstd") == 0
    assert "train.jsonl.zst: not checked" in ctl.err
    assert "pip install zstandard" in ctl.err
    assert "erased" not in ctl.err


def test_an_export_in_json_prints_the_manifest(ctl, script, dataset, tmp_path):
    script.exported = dataset(*LINES)
    ctl("export", "-o", str(tmp_path / "data"), "--json")

    assert json.loads(ctl.out) == json.loads((tmp_path / "data" / "manifest.json").read_text())


def test_somebody_who_watches_sees_the_progress(ctl, script, dataset, tmp_path):
    script.exported = dataset(*LINES)
    ctl("export", "-o", str(tmp_path / "data"), tty=True)

    assert "records" in ctl.err


def test_a_plan_writes_nothing_and_says_how_much_it_would_be(ctl, script, dataset, tmp_path):
    script.exported = [dataset(*LINES)[0], dataset(*LINES)[-1]]
    assert ctl("export", "--plan") == 0

    assert script.asked[0].plan_only
    assert "matched              6\n" in ctl.out
    assert "selected             not counted" in ctl.out
    assert "left out: no_answer" in ctl.out
    assert list(tmp_path.iterdir()) == []


def test_a_plan_in_json_prints_the_messages(ctl, script, dataset):
    script.exported = [dataset(*LINES)[0], dataset(*LINES)[-1]]
    ctl("export", "--plan", "--json")

    assert [next(iter(json.loads(line).keys() & {"header", "summary"})) for line in ctl.out.splitlines()] == [
        "header",
        "summary",
    ]


def test_a_plan_that_is_cut_off_fails(ctl, script, dataset):
    script.exported = dataset(*LINES)[:1]

    assert ctl("export", "--plan") == 1
    assert "no summary" in ctl.err


def test_a_folder_that_is_there_and_another_request_are_named(ctl, script, dataset, tmp_path):
    script.exported = dataset(*LINES)
    ctl("export", "-o", str(tmp_path / "data"))
    assert ctl("export", "-o", str(tmp_path / "data")) == 1
    assert "there already" in ctl.err

    script.exported = dataset(*LINES)[:3]
    assert ctl("export", "-o", str(tmp_path / "more")) == 1
    assert ctl("export", "-o", str(tmp_path / "more"), "--model", "m") == 1
    assert "--restart" in ctl.err

    script.exported = dataset(*LINES)
    assert ctl("export", "-o", str(tmp_path / "more"), "--model", "m", "--restart") == 0


def test_a_failed_call_is_reported_with_its_reason(ctl, script, refusal, tmp_path):
    script.error = refusal(grpc.StatusCode.PERMISSION_DENIED, "needs the export scope")

    assert ctl("export", "-o", str(tmp_path / "data")) == 1
    assert "needs the export scope" in ctl.err


def test_the_progress_line_has_rate_and_time_left(screens):
    now = [0.0]
    screens.err.tty = True
    line = ProgressLine(Terminal(screens.out, screens.err), lambda: now[0])
    line.show(Progress(0, 0, 1000))
    now[0] = 2.0
    line.show(Progress(500, 3_000_000, 1000))
    now[0] = 2.1
    line.show(Progress(501, 3_000_001, 1000))  # too early to be shown
    now[0] = 3.0
    line.show(Progress(501, 3_000_001, -1, 4_000_000, searching=True))
    line.end()
    shown = screens.err.getvalue().split("\r")

    assert shown[2].endswith("[############............] 50% 500 records, 3.0 MB, 1.5 MB/s, 2 s left")
    assert "searching" in shown[3]
    assert "75%" in shown[3]
    assert shown[4] == "\x1b[K"


def test_times_left_are_for_people():
    assert [duration(seconds) for seconds in (59, 61, 7260)] == ["59 s", "1 min 1 s", "2 h 1 min"]
