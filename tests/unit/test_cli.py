import hashlib
import json
import sys

import pytest

from llmproxy_grpc import __version__
from llmproxy_grpc.cli import main
from llmproxy_grpc.providers.embedded import fetch
from llmproxy_grpc.providers.embedded.model import DISTRIBUTION, VERSION


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working folder, and no setting from outside."""
    monkeypatch.chdir(tmp_path)
    for name in ("LLMPROXY_CONFIG", "LLMPROXY_DISCOVERY", "LLMPROXY_DEFAULT_MODEL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Runs a command in this process; gives its exit status and what it wrote."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        written = capsys.readouterr()
        return ended.value.code, written.out, written.err

    return run


def test_the_version_is_told(run):
    assert run("--version") == (0, f"llmproxy {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments", [(), ("dance",), ("--dance",), ("check-config", "rest"), ("pull-model", "-c", "x")]
)
def test_wrong_usage_ends_with_2_and_shows_how(run, arguments):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: llmproxy")


def test_help_names_every_command(run):
    status, out, _ = run("--help")
    assert status == 0
    assert all(command in out for command in ("serve", "check-config", "config-schema", "pull-model"))


@pytest.mark.parametrize("command", [("serve",), ("check-config",), ("records", "stats"), ("records", "erase")])
def test_the_help_of_a_command_says_where_its_configuration_comes_from(run, command):
    status, out, _ = run(*command, "--help")
    assert status == 0
    assert all(word in out for word in ("LLMPROXY_CONFIG", "./llmproxy.yaml", "grpc.listen=", "more than once"))


def test_a_good_file_is_valid(run, folder):
    (folder / "mine.yaml").write_text("providers: [{name: p, kind: echo}]")
    assert run("check-config", "-c", "mine.yaml") == (0, f"{folder / 'mine.yaml'}: valid\n", "")


def test_the_usual_file_is_found_where_one_stands(run, folder):
    (folder / "llmproxy.yaml").write_text("providers: [{name: p, kind: echo}]")
    assert run("check-config")[1] == f"{folder / 'llmproxy.yaml'}: valid\n"


def test_without_a_file_the_defaults_are_checked(run):
    assert run("check-config") == (0, "the defaults: valid\n", "")


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("postgresql://u:canary@[::1/records", "postgresql://USER@HOST:PORT/DATABASE"),
        ("postgresql://u:canary@db/records?sslmode=verify", "sslmode one of disable"),
    ],
)
def test_a_store_that_can_never_be_reached_is_a_fault(run, folder, store, words):
    (folder / "llmproxy.yaml").write_text(json.dumps({"discovery": "off", "records": {"store": store}}))
    status, out, err = run("check-config")
    assert (status, out) == (2, "")
    assert err.startswith("llmproxy.yaml:1: records.store: must ")
    assert words in err
    assert "canary" not in err


def test_a_postgresql_store_without_its_driver_is_a_fault(run, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    store = "postgresql://u:canary@db/records"
    (folder / "llmproxy.yaml").write_text(json.dumps({"discovery": "off", "records": {"store": store}}))
    status, out, err = run("check-config")
    assert (status, out) == (2, "")
    assert err.startswith("llmproxy.yaml:1: records.store: takes asyncpg, of the extra `postgres`")
    assert "canary" not in err


def test_a_store_that_is_not_used_needs_no_driver(run, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    records = {"enabled": False, "store": "postgresql://u@[::1/records"}
    (folder / "llmproxy.yaml").write_text(json.dumps({"records": records}))
    assert run("check-config")[0] == 0


def test_each_fault_has_a_line_of_its_own(run, folder):
    (folder / "llmproxy.yaml").write_text("timeouts: {idle: soon}\nprovider: []\n")
    status, out, err = run("check-config")
    assert (status, out) == (2, "")
    assert [line.split(": ")[:2] for line in err.splitlines()] == [
        ["llmproxy.yaml:1", "timeouts.idle"],
        ["llmproxy.yaml:2", "provider"],
    ]


def test_a_provider_that_cannot_be_built_is_a_fault(run, folder):
    (folder / "llmproxy.yaml").write_text("providers: [{name: p, kind: nobodys}]")
    status, out, err = run("check-config")
    assert (status, out) == (2, "")
    assert "providers[0]" in err
    assert "nobodys" in err


def test_prices_of_a_vendor_that_does_not_exist_are_a_fault(run, folder):
    (folder / "llmproxy.yaml").write_text("providers: [{name: p, kind: echo, prices: opneai}]")
    status, out, err = run("check-config")
    assert (status, out) == (2, "")
    assert err.startswith(
        "llmproxy.yaml:1: providers[0].prices: is no vendor of the price table; there are anthropic, "
    )


def test_a_file_that_is_not_there_is_a_fault(run):
    status, _, err = run("check-config", "--config", "missing.yaml")
    assert status == 2
    assert err.startswith("missing.yaml: ")


def test_an_override_on_the_command_line_is_checked_with_the_file(run, folder):
    (folder / "llmproxy.yaml").write_text("timeouts: {idle: 1s}")
    assert run("check-config", "--set", "timeouts.idle=2s", "--set", "direct_models=false")[0] == 0
    status, _, err = run("check-config", "--set", "timeouts.idle=soon")
    assert status == 2
    assert err.startswith("--set: timeouts.idle: ")


def test_the_schema_is_json_and_forbids_unknown_keys(run):
    status, out, err = run("config-schema")
    assert (status, err) == (0, "")
    schema = json.loads(out)
    assert schema["additionalProperties"] is False
    assert {"grpc", "http", "providers", "models"} <= set(schema["properties"])


@pytest.mark.parametrize(
    ("genuine", "status", "words"), [(True, 0, "there already: {}"), (False, 1, "{} does not hold")]
)
def test_a_model_that_is_there_is_not_fetched_again_and_must_be_the_right_one(
    run, folder, monkeypatch, genuine, status, words
):
    installed = folder / f"{DISTRIBUTION.replace('-', '_')}-{VERSION}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {VERSION}\n")
    (installed / "RECORD").write_text("weights.gguf,,\n")
    (folder / "weights.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(folder)
    if genuine:
        monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(b"GGUF").hexdigest())
    status, out, err = run("pull-model")
    assert (status, err) == (0 if genuine else 1, "")
    weights = folder / "weights.gguf"
    assert (f"there already: {weights}" if genuine else f"{weights} does not hold the weights") in out
