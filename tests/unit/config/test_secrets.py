"""Secrets from files, and faults that show none."""

import json

import pytest

from llmproxy_grpc.config.loader import load
from tests.unit.config.test_loader import PROVIDER, faults_of


@pytest.mark.parametrize("text", ["test-key", "test-key\n", "test-key\r\n"])
def test_a_secret_is_read_from_a_file_beside_the_configuration(tmp_path, text):
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "key").write_bytes(text.encode())
    (folder / "c.yaml").write_text(
        "providers: [{name: a, kind: openai, api_keys: [{file: '${F}'}], headers: {x-k: {file: key}}}]"
    )
    loaded = load(folder / "c.yaml", [], {"F": "key"}, tmp_path)
    assert loaded.config.providers[0].api_keys[0].get_secret_value() == "test-key"
    assert loaded.config.providers[0].headers["x-k"].get_secret_value() == "test-key"
    assert loaded.further_files == (folder / "key", folder / "key")


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("{file: gone}", "cannot be read"),
        (f"{{file: {'x' * 5000}}}", "cannot be read: File name too long"),
        ("{file: .}", "cannot be read"),
        ("{file: empty}", "empty file"),
        ("{file: newline}", "empty file"),
        ("{file: two}", "printable"),
        ("{file: binary}", "UTF-8"),
        ("{file: large}", "larger"),
        ('{file: "a\\0b"}', "null byte"),
        ("{file: ''}", "{file: PATH}"),
        ("{file: 3}", "{file: PATH}"),
        ("{file: a, mode: b}", "{file: PATH}"),
        ("{}", "{file: PATH}"),
        ("[a]", "quote"),
        ("3", "quote"),
        ("''", "printable"),
        ("'a\tb'", "printable"),
        ("ü", "printable"),
    ],
)
def test_a_secret_that_cannot_be_had_is_one_fault_that_does_not_show_it(tmp_path, write, key, complaint):
    (tmp_path / "empty").write_text("")
    (tmp_path / "newline").write_text("\n")
    (tmp_path / "two").write_text("canary\nanary\n")
    (tmp_path / "binary").write_bytes(b"\xffcanary")
    (tmp_path / "large").write_text("x" * 100_000)
    write(PROVIDER.format(key=key))
    (fault,) = faults_of(tmp_path)
    assert fault.startswith("llmproxy.yaml:1: providers[0].api_key")
    assert complaint in fault
    assert "anary" not in fault


def test_a_file_of_a_secret_that_is_missing_is_said_to_be_one_and_where_its_path_begins(tmp_path, write):
    missing = "providers[0].api_key: names a file that cannot be read: No such file or directory"
    write(PROVIDER.format(key="{file: secrets/openai}"))
    (fault,) = faults_of(tmp_path)
    assert fault == f"llmproxy.yaml:1: {missing}; its path begins at the configuration file's folder"
    write(PROVIDER.format(key=f"{{file: {tmp_path}/openai}}"))
    (fault,) = faults_of(tmp_path)
    assert fault == f"llmproxy.yaml:1: {missing}"


def test_a_secret_is_read_from_a_file_by_the_file_alone(tmp_path):
    (tmp_path / "key").write_text("test-key")
    (fault,) = faults_of(tmp_path, LLMPROXY_PROVIDERS="[{name: a, kind: openai, api_key: {file: key}}]")
    assert "works in the configuration file alone" in fault


def test_no_secret_is_shown_wherever_it_was_put_by_mistake(tmp_path, write):
    write(
        "providers:\n- {name: a, kind: openai, apikey: sk-canary}\n- {name: b, kind: echo, api_keys: sk-canary}\n"
        "- {name: c, kind: echo, base_url: 'https://u:sk-canary@h'}\n- {name: d, kind: echo, headers: sk-canary}\n"
        "- {name: e, kind: echo, headers: {'x y': sk-canary}}\n- [sk-canary]\n- {name: f, api_key: 'sk-canary\\n'}\n"
    )
    faults = faults_of(tmp_path)
    assert len(faults) >= 7
    assert "canary" not in "".join(faults)


@pytest.mark.parametrize("key", ["access_key_id", "secret_access_key", "session_token"])
def test_a_key_of_a_cloud_that_cannot_be_sent_is_not_shown(tmp_path, write, key):
    write(f"providers: [{{name: a, kind: bedrock, {key}: ' canary'}}]")
    (fault,) = faults_of(tmp_path)
    assert fault.endswith(f"{key}: must be printable ASCII, not empty, without space around it (found ***)")


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("providers[0].base_url", "https://host/v1?key=canary"),
        ("providers[0].base_url", "https://u:canary/x@host/v1"),
        ("providers[0].base_url", "https://u:canary%40@[::1/v1"),
        ("providers[0].base_url", "https://u:canary@h\u2100/v1"),
        ("records.store", "postgresql:/u:canary@host/db"),
        ("records.store", "mysql://u:canary/x@host/db"),
        ("records.store", "host=h password=canary"),
    ],
)
def test_an_address_that_may_hold_a_password_is_not_shown(tmp_path, write, path, address):
    provider = {"name": "a", "kind": "openai", "api_key": "test-key"}
    section, _, key = path.rpartition(".")
    at = {"providers": [{**provider, key: address}]} if section == "providers[0]" else {section: {key: address}}
    write(json.dumps(at))
    (fault,) = faults_of(tmp_path)
    assert f": {path}: must " in fault
    assert "canary" not in fault
