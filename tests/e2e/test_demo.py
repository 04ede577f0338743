"""The demo: it answers with what there is, leaves nothing behind, and cannot hang."""

import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmproxy_grpc.providers.local import available

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
LIMIT = 60.0
WITHOUT_RUNTIME = "import sys\n\nsys.modules['xllamacpp'] = None\n"


def demo(**environment):
    """Runs the demo in a process of its own; gives what it printed."""
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, DEMO],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        env={**os.environ, **environment},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert time.monotonic() - began < LIMIT
    assert ran.stderr == ""
    return ran.stdout


@pytest.mark.timeout(LIMIT + 10)
@pytest.mark.skipif(
    not available(), reason="embedded model not installable here: its runtime or its weights are missing"
)
def test_the_demo_answers_with_the_embedded_model():
    printed = demo()
    assert "ready" in printed.split()
    assert "local/smollm2-135m" in printed
    assert "local: SERVING_STATUS_SERVING" in printed
    assert '{"messages":[{"role":"user","content":"Why is the sky blue?' in printed.split("Export what was helpful")[1]
    used = re.search(r"\((\d+) tokens in, (\d+) out(; it stops at the demo's limit of 64)?\)", printed)
    assert used
    assert 0 < int(used[2]) <= 64
    assert bool(used[3]) == (used[2] == "64")


@pytest.mark.timeout(LIMIT + 10)
def test_without_the_embedded_model_the_demo_says_so_and_echo_answers(tmp_path):
    # A module that is None cannot be imported: as if the runtime were not installed, in the server too.
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_RUNTIME)
    printed = demo(PYTHONPATH=str(tmp_path))
    assert printed.startswith("The embedded model is not installed or cannot run here")
    assert "local/" not in printed
    assert "Why is the sky blue?" in printed.split("Stream echo/echo:")[1].split("\n", 1)[1]
    assert "echo: SERVING_STATUS_SERVING" in printed


@pytest.mark.timeout(LIMIT + 10)
def test_the_demo_is_no_door_for_settings_of_the_environment(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_RUNTIME)
    assert "SERVING" in demo(PYTHONPATH=str(tmp_path), LLMPROXY_GRPC__LISTEN="nonsense", OPENAI_API_KEY="test-key")


def test_a_server_that_does_not_end_is_ended_by_force():
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(20)"
    )
    stop = runpy.run_path(str(DEMO))["stop"]
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "deaf\n"
        stop(server, 0.1)
    assert server.returncode == -signal.SIGKILL
