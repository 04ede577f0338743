"""Starts that fail: taken ports, records that cannot be kept, bad files; each ends with a status and says why."""

import json
import socket

import pytest

from tests.e2e.conftest import with_listeners
from tests.e2e.test_process import run


@pytest.mark.parametrize(
    ("key", "workers"),
    [
        ("grpc.listen", 1),
        ("grpc.listen", 2),
        ("grpc.health_listen", 1),
        ("grpc.health_listen", 2),
        ("http.listen", 1),
        ("http.listen", 2),
        ("admin.listen", 1),
        ("admin.listen", 2),
    ],
)
def test_a_taken_port_ends_the_start_with_1_and_names_its_key_and_the_way_out(tmp_path, key, workers):
    section, _, name = key.partition(".")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = with_listeners({"discovery": "off"})
        config["grpc"]["workers"] = workers
        config[section] = {**config.get(section, {}), name: address}
        (tmp_path / "llmproxy.yaml").write_text(json.dumps(config))
        done = run("serve", cwd=tmp_path)
    assert done.returncode == 1
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("llmproxy: "))
    assert said.startswith(f"llmproxy: {key}: cannot listen on {address}: is it in use, or not allowed")
    assert f"set {key} to another address" in said
    assert "Traceback" not in done.stderr
    assert "ready" not in done.stdout.splitlines()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("directory", ["file", "file/below", "/proc/records"])
def test_records_that_cannot_be_kept_end_the_start_with_1_and_say_what_to_do(tmp_path, directory, workers):
    (tmp_path / "file").touch()
    config = with_listeners({"discovery": "off", "records": {"directory": directory}})
    config["grpc"]["workers"] = workers
    (tmp_path / "llmproxy.yaml").write_text(json.dumps(config))
    done = run("serve", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (said,) = done.stderr.splitlines()
    assert said.startswith("llmproxy: records.directory: ")
    assert directory in said
    assert "records.enabled" in said


@pytest.mark.parametrize("listener", ["grpc", "http"])
def test_a_taken_socket_ends_the_start_with_1_and_names_its_key(tmp_path, listener):
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(tmp_path / "s"))
        taken.listen()
        config = with_listeners({"discovery": "off"})
        config[listener] = {**config[listener], "listen": f"unix:{tmp_path}/s"}
        (tmp_path / "llmproxy.yaml").write_text(json.dumps(config))
        done = run("serve", cwd=tmp_path)
    assert done.returncode == 1
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("llmproxy: "))
    assert said.startswith(f"llmproxy: {listener}.listen: cannot listen on unix:{tmp_path}/s: it is in use")
    assert said.endswith(f"set {listener}.listen to another path")


@pytest.mark.parametrize(("section", "workers"), [("grpc", 1), ("grpc", 2), ("http", 1), ("admin", 1)])
def test_a_socket_whose_folder_is_missing_ends_the_start_with_1_and_names_the_folder(tmp_path, section, workers):
    config = with_listeners({"discovery": "off"})
    config["grpc"]["workers"] = workers
    name = "one" if workers == 1 else "{worker}"
    config[section] = {**config.get(section, {}), "listen": f"unix:{tmp_path}/not-there/{name}.sock"}
    (tmp_path / "llmproxy.yaml").write_text(json.dumps(config))
    done = run("serve", cwd=tmp_path)
    assert done.returncode == 1
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("llmproxy: "))
    assert said.startswith(f"llmproxy: {section}.listen: cannot listen on unix:{tmp_path}/not-there/")
    assert said.endswith(f": there is no folder {tmp_path}/not-there; make it")


BAD = """\
grpc:
  listen: 127.0.0.1:0
  max_in_flight: many
providers:
  - name: up
    kind: openai
    api_kye: test-key
"""


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_a_bad_file_ends_the_start_with_2_naming_file_line_path_and_value(tmp_path, command):
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)
    done = run(command, "-c", str(file), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"{file}:3: grpc.max_in_flight: ")
    assert "many" in first
    assert second.startswith(f"{file}:7: providers[0].api_kye: ")
    assert "api_key" in second
    assert "test-key" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_a_store_that_can_never_be_reached_ends_the_start_with_2(tmp_path, command):
    config = with_listeners({"discovery": "off", "records": {"store": "postgresql://u:canary@[::1/records"}})
    (tmp_path / "llmproxy.yaml").write_text(json.dumps(config))
    done = run(command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (said,) = done.stderr.splitlines()
    assert said.startswith("llmproxy.yaml:1: records.store: must be postgresql://USER@HOST:PORT/DATABASE")
    assert "canary" not in said


@pytest.mark.parametrize("workers", [1, 2])
def test_a_setting_of_the_database_that_can_never_work_ends_the_start_with_1(tmp_path, monkeypatch, workers):
    monkeypatch.setenv("PGSSLMODE", "verify")
    config = with_listeners({"discovery": "off", "records": {"store": "postgresql://u:canary@127.0.0.1:1/records"}})
    config["grpc"]["workers"] = workers
    (tmp_path / "llmproxy.yaml").write_text(json.dumps(config))
    done = run("serve", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("llmproxy: "))
    assert said.startswith("llmproxy: records.store: `sslmode` parameter must be one of: disable")
    assert "canary" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_a_provider_that_cannot_be_built_ends_the_start_with_2(tmp_path, command):
    config = with_listeners({"providers": [{"name": "up", "kind": "no-such-kind"}]})
    (tmp_path / "llmproxy.yaml").write_text(json.dumps(config))
    done = run(command, cwd=tmp_path)
    assert done.returncode == 2
    assert "providers[0]" in done.stderr
    assert "no-such-kind" in done.stderr
    assert "Traceback" not in done.stderr
