"""`llmproxyctl export` that is cut off: what it says of the pause, of the end, and of how to go on."""

import errno

import grpc
import pytest

from llmproxy_client.dataset import Download

LINES = [b'{"text": "%d"}\n' % number for number in range(5)]
GOES_ON = "has come; the same command goes on from there"


@pytest.fixture(name="command")
def _command(tmp_path):
    return ["export", "-o", str(tmp_path / "data")]


def test_whoever_waits_is_told_why_and_for_how_long(ctl, script, dataset, command):
    script.exported, script.cuts = dataset(*LINES), [3]
    assert ctl(*command) == 0

    assert ctl.err == "llmproxyctl: UNAVAILABLE: cut; again in 0.5 s\n"


def test_an_export_that_fails_says_what_is_left_and_how_to_go_on(ctl, script, dataset, command):
    script.exported = dataset(*LINES)[:3]
    assert ctl(*command) == 1

    assert ctl.err.endswith(f"llmproxyctl: a part of {command[-1]} {GOES_ON}\n")


def test_an_interrupt_says_so_too(ctl, script, dataset, command, monkeypatch):
    def interrupted(_download, _message):
        raise KeyboardInterrupt

    script.exported = dataset(*LINES)[:3]
    assert ctl(*command) == 1
    monkeypatch.setattr(Download, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ctl(*command)

    assert ctl.err == f"llmproxyctl: a part of {command[-1]} {GOES_ON}\n"


def test_an_export_that_cannot_go_on_does_not_say_that_it_can(ctl, script, refusal, dataset, command):
    script.error = refusal(grpc.StatusCode.PERMISSION_DENIED, "no")
    assert ctl(*command) == 1
    assert GOES_ON not in ctl.err

    script.error, script.exported = None, dataset(*LINES)[:3]
    assert ctl(*command) == 1
    assert ctl(*command, "--model", "m") == 1
    assert GOES_ON not in ctl.err


def test_an_export_that_a_record_stops_would_be_stopped_there_again(ctl, script, refusal, dataset, command):
    script.exported = dataset(*LINES)[:3]
    assert ctl(*command, "--fail-on-invalid") == 1
    script.error = refusal(grpc.StatusCode.INVALID_ARGUMENT, "Record 1 does not fit the format: no_answer.")
    assert ctl(*command, "--fail-on-invalid") == 1

    assert GOES_ON not in ctl.err
    assert ctl.err.endswith("the same command would end here again; for other options, begin anew with --restart\n")


@pytest.mark.parametrize("left", [b"", b"x" * 100], ids=["shorter", "other"])
def test_what_somebody_has_changed_is_not_gone_on_with_but_begun_again(ctl, script, dataset, command, tmp_path, left):
    script.exported = dataset(*LINES)[:3]
    assert ctl(*command) == 1
    (tmp_path / "data.partial" / "train.jsonl").write_bytes(left)
    script.exported = dataset(*LINES)
    for _ in range(2):
        assert ctl(*command) == 1
        assert GOES_ON not in ctl.err
        assert ctl.err.endswith("llmproxyctl: what has come cannot be used; begin again with --restart\n")
    assert ctl(*command, "--restart") == 0


def test_so_is_what_the_proxy_does_not_go_on_with(ctl, script, dataset, command):
    script.exported = dataset(*LINES)[:3]
    assert ctl(*command) == 1
    script.exported = dataset(*LINES)
    script.exported[0].header.as_of_seq += 1
    assert ctl(*command) == 1
    said = "the proxy goes on with another export than the one that was begun; begin anew with --restart"
    assert ctl.err == f"llmproxyctl: {said}\n"


@pytest.mark.parametrize("file", [[], ["train.jsonl"]], ids=["unknown", "known"])
def test_a_full_disk_is_named_with_the_file_if_that_is_known(ctl, script, dataset, command, monkeypatch, file):
    def full(_download, _message):
        raise OSError(errno.ENOSPC, "No space left on device", *file)

    script.exported = dataset(*LINES)
    monkeypatch.setattr(Download, "take", full)
    assert ctl(*command) == 1

    assert ctl.err.splitlines()[0] == ": ".join(["llmproxyctl", *file, "No space left on device"])


@pytest.mark.parametrize("folder", [".", "/", "a/..", ""])
def test_a_folder_without_a_name_is_wrong_usage(ctl, script, capsys, folder):
    with pytest.raises(SystemExit) as ended:
        ctl("export", "-o", folder)

    assert ended.value.code == 2
    assert "argument -o/--output: not a folder with a name" in capsys.readouterr().err
    assert not script.asked
