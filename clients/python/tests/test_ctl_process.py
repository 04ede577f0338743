"""llmproxyctl as a process of its own: pipes, signals and encodings."""

import os
import signal
import subprocess
import sys

import pytest

import llmproxy_client

COMMAND = [sys.executable, "-m", "llmproxy_client.ctl"]


def ended(process):
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def start(*argv, target):
    environment = {**os.environ, "LLMPROXY_TARGET": target}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*COMMAND, *argv], env=environment, **pipes)


def test_the_command_answers_what_it_is_piped(target, script):
    process = start("chat", target=target)
    out, err = process.communicate("Grüße".encode(), timeout=20)

    assert (process.returncode, out, err) == (0, b"Hello there\n", b"")
    assert script.asked[0].chat.messages[0].parts[0].text == "Grüße"


def test_an_interrupt_ends_with_130_and_cancels_the_call(target, script):
    script.hang = True
    process = start("chat", "Hi", target=target)
    assert process.stdout.read(5) == b"Hello"
    process.send_signal(signal.SIGINT)

    status, _, err = ended(process)

    assert (status, err) == (130, b"")
    assert script.left.wait(2)


def test_a_reader_that_has_read_enough_is_no_error(target, script, spoken):
    script.events = spoken(*["line\n"] * 20_000)
    process = start("chat", "Hi", target=target)
    assert process.stdout.readline() == b"line\n"
    process.stdout.close()
    process.stdin.close()

    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(20) == 0


def test_a_terminal_without_the_character_shows_another(target, script, spoken):
    script.events = spoken("é🙂")
    environment = {**os.environ, "LLMPROXY_TARGET": target, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([*COMMAND, "chat", "Hi"], env=environment, capture_output=True, timeout=20, check=False)

    assert (done.returncode, done.stdout) == (0, b"\xe9?\n")


@pytest.mark.parametrize("wanted", [{}, {"GRPC_VERBOSITY": "INFO"}])
def test_only_who_asks_for_it_sees_the_log_of_grpc(target, wanted):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    command = [sys.executable, "-m", "llmproxyctl", "--tls", "--target", target, "--timeout", "5", "health"]
    done = subprocess.run(command, env={**environment, **wanted}, capture_output=True, timeout=20, check=False)

    said = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, b"")
    assert said[-1].startswith(b"llmproxyctl: ")
    assert (len(said) > 1) == bool(wanted)


def test_a_target_without_a_port_is_wrong_usage():
    command = [*COMMAND, "--target", "127.0.0.1", "health"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith("'127.0.0.1' has no port; a target is HOST:PORT or unix:PATH")


def test_the_command_tells_its_version():
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, timeout=20, check=False)

    assert (done.returncode, done.stdout) == (0, f"llmproxyctl {llmproxy_client.__version__}\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("argv", [["models"], ["chat", "Hi"]])
def test_a_standard_stream_that_is_closed_is_as_one_to_nowhere(target, argv, closed):
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "--target", target, *argv]
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)

    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(done.stdout) == (">&-" not in closed.split())
