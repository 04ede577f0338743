"""Both commands as a user types them: `llmproxy`, and `llmproxyctl` against a running server."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from llmproxy_grpc import __version__
from tests.e2e.conftest import Running

HERE = Path(sys.executable).parent


def run(
    command: str, *arguments: str, stdin: bytes = b"", cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LLMPROXY_")}
    return subprocess.run(
        [HERE / command, *arguments],
        input=stdin,
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        check=False,
        timeout=25,
    )


def llmproxy(*arguments: str, cwd: Path | None = None, **environment: str) -> tuple[int, str, str]:
    done = run("llmproxy", *arguments, cwd=cwd, **environment)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def ctl(server: Running, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    done = run("llmproxyctl", "--target", server.grpc, *arguments, stdin=stdin)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


# llmproxy.


def test_llmproxy_tells_its_version():
    assert llmproxy("--version") == (0, f"llmproxy {__version__}\n", "")


def test_llmproxy_helps():
    status, out, _ = llmproxy("--help")
    assert status == 0
    for command in ("serve", "check-config", "config-schema"):
        assert command in out
    assert llmproxy("serve", "--help")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [(), ("nonsense",), ("--nonsense",), ("serve", "--nonsense"), ("check-config", "-c"), ("serve", "rest")],
)
def test_wrong_usage_ends_with_2_and_shows_how(arguments):
    status, out, err = llmproxy(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: llmproxy")


def test_config_schema_prints_a_schema_of_every_section():
    status, out, err = llmproxy("config-schema")
    assert (status, err) == (0, "")
    schema = json.loads(out)
    assert {"grpc", "http", "providers", "models", "timeouts"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


def test_check_config_is_silent_of_secrets_and_says_valid(tmp_path):
    file = tmp_path / "llmproxy.yaml"
    file.write_text("providers: [{name: up, kind: openai, api_key: '${PROVIDER_KEY}'}]\n")
    status, out, err = llmproxy("check-config", cwd=tmp_path, PROVIDER_KEY="test-key")
    assert status == 0
    assert "valid" in out
    assert "test-key" not in out + err
    status, out, err = llmproxy("check-config", cwd=tmp_path)
    assert (status, out) == (2, "")
    assert f"{file.name}:1: " in err
    assert "PROVIDER_KEY" in err


def test_the_command_line_wins_over_the_environment_and_the_file(tmp_path):
    (tmp_path / "llmproxy.yaml").write_text("timeouts: {connect: bad-file}\n")
    status, _, err = llmproxy("check-config", cwd=tmp_path)
    assert status == 2
    assert "bad-file" in err
    status, _, err = llmproxy("check-config", cwd=tmp_path, LLMPROXY_TIMEOUTS__CONNECT="bad-environment")
    assert status == 2
    assert "LLMPROXY_TIMEOUTS__CONNECT" in err
    assert "bad-file" not in err
    given = ("check-config", "--set", "timeouts.connect=1s")
    assert llmproxy(*given, cwd=tmp_path, LLMPROXY_TIMEOUTS__CONNECT="bad-environment")[0] == 0


def test_serve_says_where_it_listens_what_it_offers_and_that_it_is_ready(serve):
    server = serve({"providers": [{"name": "echo", "kind": "echo"}], "http": {"listen": "127.0.0.1:0"}})
    lines = server.stdout.read_text().splitlines()
    assert lines[0] == f"grpc {server.grpc}"
    assert lines[1] == f"http {server.http}"
    assert "model echo/echo" in lines
    assert lines[-1] == "ready"
    assert not server.grpc.endswith(":0")


def test_serve_listens_where_the_command_line_says(serve, tmp_path):
    path = tmp_path / "proxy.sock"
    server = serve({"providers": [{"name": "echo", "kind": "echo"}]}, "--set", f"grpc.listen=unix:{path}")
    assert server.grpc == f"unix:{path}"
    assert ctl(server, "chat", "-m", "echo/echo", "Over a socket") == (0, "Over a socket\n", "")


# llmproxyctl.


def test_llmproxyctl_tells_its_version_and_helps():
    assert run("llmproxyctl", "--version").stdout.startswith(b"llmproxyctl ")
    done = run("llmproxyctl", "--help")
    assert done.returncode == 0
    for command in (b"chat", b"models", b"health"):
        assert command in done.stdout


@pytest.mark.parametrize("how", [(), ("--no-stream",)])
def test_chat_prints_the_answer_of_the_default_model(echo_server, how):
    assert ctl(echo_server, "chat", *how, "Good morning to you") == (0, "Good morning to you\n", "")


@pytest.mark.parametrize("how", [(), ("--no-stream",)])
def test_chat_asks_what_it_reads(echo_server, how):
    question = "Grüße, 🍕\nand a second line\n"
    assert ctl(echo_server, "chat", "-m", "echo/echo", *how, stdin=question.encode()) == (0, question, "")


def test_chat_prints_events_as_lines_of_json(echo_server):
    status, out, err = ctl(echo_server, "chat", "--json", "Good morning")
    assert (status, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert "start" in events[0]
    assert "end" in events[-1]
    assert "".join(event["delta"]["text"] for event in events if "delta" in event) == "Good morning"


def test_chat_without_stream_prints_one_line_of_json(echo_server):
    status, out, err = ctl(echo_server, "chat", "--no-stream", "--json", "Good morning")
    assert (status, err) == (0, "")
    (line,) = out.splitlines()
    assert json.loads(line)["candidates"][0]["message"]["parts"] == [{"text": "Good morning"}]


def test_models_are_a_table_or_json(echo_server):
    status, out, err = ctl(echo_server, "models")
    assert (status, err) == (0, "")
    assert out.splitlines()[0].split()[0] == "MODEL"
    assert {"assistant", "echo/echo"} <= {line.split()[0] for line in out.splitlines()[1:]}
    status, out, _ = ctl(echo_server, "models", "--json")
    assert status == 0
    assert {"assistant", "echo/echo"} <= {model["id"] for model in json.loads(out)["models"]}


def test_health_says_that_it_serves(echo_server):
    status, out, err = ctl(echo_server, "health")
    assert (status, err) == (0, "")
    assert "SERVING" in out
    assert "echo" in out
    status, out, _ = ctl(echo_server, "health", "--json")
    assert status == 0
    assert json.loads(out)["status"] == "SERVING_STATUS_SERVING"


@pytest.mark.parametrize("how", [(), ("--no-stream",), ("--json",)])
def test_a_failed_call_ends_with_1_and_says_why(echo_server, how):
    status, out, err = ctl(echo_server, "chat", *how, "-m", "no-such-model", "Hi")
    assert (status, out) == (1, "")
    first, *rest = err.splitlines()
    assert first.startswith("llmproxyctl: NOT_FOUND/MODEL_NOT_FOUND: ")
    assert any("request id" in line for line in rest)
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [("chat", "Hi"), ("models",), ("health",)])
def test_a_server_that_is_not_there_ends_with_1(arguments):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("llmproxyctl", "--target", target, "--timeout", "5", *arguments)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"llmproxyctl: UNAVAILABLE")
    assert b"Traceback" not in done.stderr


def test_a_timeout_ends_with_1(serve):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        provider = {"name": "up", "kind": "openai", "base_url": f"http://127.0.0.1:{silent.getsockname()[1]}/v1"}
        server = serve({"providers": [provider], "models": [], "health": {"timeout": 0.2}})
        status, out, err = ctl(server, "--timeout", "0.5", "chat", "-m", "up/m", "Hi")
    assert (status, out) == (1, "")
    assert err.startswith("llmproxyctl: DEADLINE_EXCEEDED/DEADLINE_EXCEEDED: ")


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("chat", "--nonsense"), ("chat",), ("--timeout", "soon", "models"), ("chat", "")]
)
def test_wrong_usage_of_llmproxyctl_ends_with_2(arguments):
    done = run("llmproxyctl", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"usage: llmproxyctl" in done.stderr


def test_an_interrupted_chat_ends_with_130(serve):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        provider = {"name": "up", "kind": "openai", "base_url": f"http://127.0.0.1:{silent.getsockname()[1]}/v1"}
        server = serve({"providers": [provider], "health": {"timeout": 0.2}})
        silent.settimeout(15)
        command = [HERE / "llmproxyctl", "--target", server.grpc, "chat", "-m", "up/m", "Hi"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while True:
                connection, _ = silent.accept()
                with connection:
                    connection.settimeout(15)
                    if connection.recv(4096).startswith(b"POST"):
                        process.send_signal(signal.SIGINT)
                        assert process.wait(15) == 130
                        assert connection.recv(4096) == b""
                        break
