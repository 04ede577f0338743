"""An operator at the command line, before a server that runs."""

import json
import signal
import time

from tests.e2e.test_command_line import ctl, run

ECHO = {
    "providers": [{"name": "echo", "kind": "echo"}],
    "models": [{"id": "assistant", "targets": [{"provider": "echo", "model": "echo"}]}],
    "default_model": "assistant",
}


def operate(socket, *arguments):
    done = run("llmproxyctl", "provider", *arguments, LLMPROXY_ADMIN_TARGET=f"unix:{socket}")
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def shown(socket):
    (provider,) = json.loads(operate(socket, "list", "--json"))["providers"]
    return provider


def test_an_operator_takes_a_provider_out_of_service_and_puts_it_back(serve, tmp_path):
    socket = tmp_path / "admin.sock"
    server = serve({**ECHO, "admin": {"listen": f"unix:{socket}"}})
    assert f"admin unix:{socket}" in server.stdout.read_text().splitlines()
    assert "DISABLED" in operate(socket, "disable", "echo", "--note", "it repeats itself")
    status, _, err = ctl(server, "chat", "Hello")
    assert (status, "NO_PROVIDER_AVAILABLE" in err, "echo" in err) == (1, True, True)
    assert json.loads(ctl(server, "health", "--json")[1])["status"] == "SERVING_STATUS_SERVING"
    assert (shown(socket)["state"], shown(socket)["note"]) == ("PROVIDER_STATE_DISABLED", "it repeats itself")
    reload(server, "assistant-2")
    assert shown(socket)["state"] == "PROVIDER_STATE_DISABLED"
    operate(socket, "enable", "echo")
    assert ctl(server, "chat", "-m", "assistant-2", "Hello there")[:2] == (0, "Hello there\n")
    assert [event["state"] for event in switchings(server)] == ["disabled", "enabled"]


def reload(server, model):
    """Adds a model to the configuration, and waits until it is there."""
    file = server.stdout.parent / "llmproxy.yaml"
    config = json.loads(file.read_text())
    config["models"].append({**config["models"][0], "id": model})
    file.write_text(json.dumps(config))
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while model not in ctl(server, "models")[1]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def switchings(server):
    events = (json.loads(line) for line in server.stderr.read_text().splitlines() if line.startswith("{"))
    return [event for event in events if event["event"] == "provider_switched"]
