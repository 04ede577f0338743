"""Several workers under a supervisor, as the operator and the callers see them: one server."""

import asyncio
import json
import os
import signal
import socket
import time
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from llmproxy_grpc._gen.v1.health_pb2 import SERVING_STATUS_NOT_SERVING, HealthRequest
from tests.e2e.test_process import LIST, SERVER, asking, exit_status, rest_of, run, started, streaming, upstream  # noqa: F401
from tests.e2e.workers import OK, chats, connections, counted, echoing, logged, pids
from tests.fakes.certificates import Authority
from tests.fakes.faulty_upstream import Answer
from tests.fakes.http import get
from tests.fakes.polling import until
from tests.fakes.requests import RichError


async def test_two_workers_serve_at_one_address_and_are_counted_as_one(serve):
    server = await started(serve, echoing())
    async with connections(server.grpc, 30) as stubs:
        await chats(stubs)
    assert {line["worker"] for line in logged(server, "call")} == {0, 1}
    assert await counted(server, OK) == 30
    assert await counted(server, 'llmproxy_call_duration_seconds_count{method="Chat",model="assistant"}') == 30
    assert await counted(server, "llmproxy_workers") == 2
    assert await counted(server, 'llmproxy_calls_in_flight{method="Chat"}') == 0
    assert (await get(server.http, "/readyz"))[0] == (await get(server.http, "/livez"))[0] == 200
    assert server.stdout.read_text().splitlines()[-1] == "ready"


async def test_forty_connections_are_split_60_to_40_at_worst(serve, record_property):
    """Of one caller's connections; by the kernel's hash alone each seventh try would fail, by ours each thirtieth."""
    server = await started(serve, echoing())
    shares = []
    for _ in range(5):
        before = [call["worker"] for call in logged(server, "call")].count(0)
        async with connections(server.grpc, 40) as stubs:
            await chats(stubs)
        shares.append([call["worker"] for call in logged(server, "call")].count(0) - before)
    record_property("connections of worker 0", shares)
    # That three of five are worse has a chance of one in 5,000.
    assert sorted(abs(share - 20) for share in shares)[2] <= 4


async def test_three_workers_probe_as_one_and_know_alike(serve, upstream):  # noqa: F811 - a fixture
    interval = 1.0
    config = asking(upstream, grpc={"workers": 3}, health={"interval": interval})
    server = await started(serve, config)
    upstream.requests.clear()
    began = time.monotonic()
    await until(lambda: len(upstream.requests) >= 6, within=25)
    # Alone, each of them would have asked as often; two that begin at the same moment both ask.
    assert time.monotonic() - began > 6 * interval * 0.8 / 2
    upstream.handler = lambda _request: Answer(status=500)
    async with connections(server.grpc, 12) as stubs:

        async def known():
            states = [(await stub.Health(HealthRequest(), timeout=20)).providers[0].status for stub in stubs]
            return set(states) == {SERVING_STATUS_NOT_SERVING}

        await until(known, within=25)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_second_server_on_the_port_is_refused(serve, tmp_path, workers):
    server = await started(serve, echoing())
    config = echoing(workers, grpc={"listen": server.grpc}, http={"listen": None})
    (tmp_path / "llmproxy.yaml").write_text(json.dumps(config))
    done = await asyncio.to_thread(run, "serve", cwd=tmp_path)
    assert done.returncode == 1
    assert f"llmproxy: grpc.listen: cannot listen on {server.grpc}" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("two.key", ("llmproxy: grpc.listen: cannot listen on 127.0.0.1:", "certificate and key")),
        ("one.pem", ("llmproxy: grpc.tls.key: ", "one.pem holds no private key as PEM")),
    ],
)
async def test_a_start_that_no_worker_survives_ends_with_its_error(tmp_path, key, words):
    authority = Authority(tmp_path)
    certificate, _ = authority.issue("one")
    authority.issue("two")
    tls = {"cert": str(certificate), "key": str(tmp_path / key)}
    config = echoing(grpc={"listen": "127.0.0.1:0", "tls": tls}, http={"listen": None})
    (tmp_path / "llmproxy.yaml").write_text(json.dumps(config))
    done = await asyncio.to_thread(run, "serve", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert all(word in done.stderr for word in words)
    assert "Traceback" not in done.stderr


async def test_each_worker_has_a_socket_of_its_own_where_the_path_says_so(serve, tmp_path):
    listen = ["127.0.0.1:0", f"unix:{tmp_path}/p-{{worker}}.sock"]
    server = await started(serve, echoing(grpc={"listen": listen}))
    paths = [f"unix:{tmp_path}/p-{number}.sock" for number in range(2)]
    assert [line for line in server.stdout.read_text().splitlines() if line.startswith("grpc unix:")] == [
        f"grpc {path}" for path in paths
    ]
    for number, path in enumerate(paths):
        async with connections(path, 1) as stubs:
            await chats(stubs)
        assert logged(server, "call")[-1]["worker"] == number
    server.process.send_signal(signal.SIGTERM)
    assert await exit_status(server, 10) == 0
    assert list(tmp_path.glob("p-*")) == []


# The end.


async def test_all_drain_as_one_and_streams_end_well(serve, upstream):  # noqa: F811
    server = await started(serve, asking(upstream, grpc={"workers": 2, "predrain": 1, "grace": 20}))
    async with connections(server.grpc, 8) as stubs, grpc.aio.insecure_channel(server.grpc) as channel:
        calls = [(await streaming(upstream, stub))[0] for stub in stubs]
        watch = HealthStub(channel).Watch(HealthCheckRequest(), timeout=25)
        assert (await watch.read()).status == HealthCheckResponse.SERVING
        server.process.send_signal(signal.SIGTERM)
        began = time.perf_counter()
        assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
        assert (await get(server.http, "/readyz"))[0] == 503
        assert time.perf_counter() - began < 2.5
        upstream.release()
        for call in calls:
            assert (await rest_of(call))[-1] == "end"
    assert await exit_status(server, 10) == 0
    assert logged(server, "stopped")[-1].get("worker") is None
    assert len(logged(server, "worker_stopped")) == 2


async def test_a_second_sigterm_ends_all_at_once(serve, upstream):  # noqa: F811
    server = await started(serve, asking(upstream, grpc={"workers": 2, "predrain": 20, "grace": 20}))
    async with connections(server.grpc, 4) as stubs:
        calls = [(await streaming(upstream, stub))[0] for stub in stubs]
        server.process.send_signal(signal.SIGTERM)
        await until(lambda: len(logged(server, "draining")) == 3)
        server.process.send_signal(signal.SIGTERM)
        began = time.perf_counter()
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await rest_of(call)
            assert (raised.value.code(), RichError(raised.value).reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert await exit_status(server, 10) == 0
        assert time.perf_counter() - began < 10  # not after predrain or grace


async def test_a_signal_to_every_process_of_the_service_is_one_drain(serve, upstream):  # noqa: F811
    """As systemd sends it by default."""
    server = await started(serve, asking(upstream, grpc={"workers": 2, "grace": 20}))
    async with connections(server.grpc, 4) as stubs:
        calls = [(await streaming(upstream, stub))[0] for stub in stubs]
        for pid in [*pids(server), server.process.pid]:
            os.kill(pid, signal.SIGTERM)
        await until(lambda: len(logged(server, "draining")) == 3)
        upstream.release()
        for call in calls:
            assert (await rest_of(call))[-1] == "end"
    assert await exit_status(server, 10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_server_ends_at_once(serve, number):
    server = await started(serve, echoing(grpc={"grace": 20}))
    server.process.send_signal(number)
    assert await exit_status(server, 10) == 0


async def test_workers_whose_supervisor_is_gone_drain(serve):
    server = await started(serve, echoing())
    workers = pids(server)
    stopped = asyncio.Event()
    server.process.kill()
    await exit_status(server, 10)
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), within=15)
    assert not stopped.is_set()
    server.process.returncode = 0  # the fixture asks for a good end


# Workers that die or hang.


async def test_when_a_worker_is_killed_the_other_serves_on_and_another_comes(serve, record_property):
    server = await started(serve, echoing())
    async with connections(server.grpc, 20) as stubs:
        await chats(stubs)
        victim = pids(server)[0]
        os.kill(victim, signal.SIGKILL)
        began = time.perf_counter()
        await until(lambda: logged(server, "worker_died"))
        assert await counted(server, OK) == 20
        await chats(stubs)
        assert await counted(server, OK) == 40

        async def back() -> bool:
            return await counted(server, "llmproxy_workers") == 2

        await until(back, within=20)
        record_property("seconds", round(time.perf_counter() - began, 2))
    (death,) = logged(server, "worker_died")
    assert (death["worker"], death["worker_pid"], death["status"]) == (0, victim, -signal.SIGKILL)
    assert await counted(server, "llmproxy_worker_restarts_total") == 1
    assert await counted(server, OK) == 40


async def test_calls_in_flight_with_a_killed_worker_fail_at_once_and_the_others_finish(serve, upstream):  # noqa: F811
    server = await started(serve, asking(upstream, grpc={"workers": 2}))
    async with connections(server.grpc, 12) as stubs:
        calls = [(await streaming(upstream, stub))[0] for stub in stubs]
        os.kill(pids(server)[0], signal.SIGKILL)
        await until(lambda: len(logged(server, "worker_started")) == 3, within=20)
        gone = [call for call in calls if call.done()]
        assert 0 < len(gone) < len(calls)
        assert {await call.code() for call in gone} == {grpc.StatusCode.UNAVAILABLE}
        upstream.release()
        for call in calls:
            if call not in gone:
                assert (await rest_of(call))[-1] == "end"


BLOCKING = """
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(10))
"""


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGUSR1])
async def test_a_worker_that_hangs_is_killed_and_another_comes(serve, tmp_path, monkeypatch, record_property, number):
    """It is stopped; or its event loop is blocked for ten seconds, by what Python runs at its start here."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    server = await started(serve, echoing())
    victim = pids(server)[1]
    os.kill(victim, number)
    began = time.perf_counter()

    async def another() -> bool:
        return victim not in pids(server) and await counted(server, "llmproxy_workers") == 2

    await until(another, within=25)
    record_property("seconds", round(time.perf_counter() - began, 2))
    (killed,) = logged(server, "worker_killed")
    assert (killed["worker_pid"], killed["why"]) == (victim, "misses its beats")


DYING = """
import os, signal, sys

class Dying:
    def find_spec(self, name, path=None, target=None):
        if name != "grpc":
            return
        started = 0
        while True:
            try:
                os.close(os.open(f"started-{started}", os.O_CREAT | os.O_EXCL))
                break
            except FileExistsError:
                started += 1
        if "all" in os.environ["DYING"]:
            os.kill(os.getppid(), signal.SIGSTOP)
            os.kill(os.getppid(), signal.SIGTERM)
        if str(started) in os.environ["DYING"]:
            os.kill(os.getpid(), signal.SIGTERM)

if "llmproxy_grpc.worker" in sys.orig_argv:
    sys.meta_path.insert(0, Dying())
"""
"""Workers, by the order in which they start, that get a SIGTERM in the middle of their imports; with `all` the
supervisor gets one as well, and stands still until a test has it go on, so that it hears of everything at once."""


@pytest.fixture
def dying(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(DYING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return lambda which: monkeypatch.setenv("DYING", which)


async def test_a_worker_that_is_told_to_end_during_its_imports_is_replaced(serve, dying):
    dying("02")
    server = await started(serve, echoing())
    died = logged(server, "worker_died")
    assert [line["status"] for line in died] == [-signal.SIGTERM] * 2
    assert "before it served" in died[0]["why"]
    assert len(logged(server, "worker_started")) == 4
    assert await counted(server, "llmproxy_workers") == 2
    async with connections(server.grpc, 12) as stubs:
        await chats(stubs)
    os.kill(pids(server)[0], signal.SIGKILL)
    await until(lambda: len(logged(server, "worker_started")) == 5, within=25)


async def test_a_start_whose_every_process_is_told_to_end_ends_with_0(tmp_path, dying):
    """As a service manager does that signals all processes of the service."""
    dying("01 all")
    (tmp_path / "llmproxy.yaml").write_text(json.dumps(echoing(grpc={"listen": "127.0.0.1:0"})))
    process = await asyncio.create_subprocess_exec(*SERVER, "serve", cwd=tmp_path, stdout=PIPE, stderr=PIPE)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:

        def all_dead() -> bool:
            workers = [Path(f"/proc/{child}/stat").read_text() for child in children.read_text().split()]
            return len(workers) == 2 and all(") Z " in worker for worker in workers)

        await until(all_dead, within=25)
        process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert (process.returncode, out) == (0, b""), err
    assert b"Traceback" not in err


async def test_a_worker_that_dies_while_all_drain_is_not_replaced(serve):
    server = await started(serve, echoing(grpc={"predrain": 2}))
    server.process.send_signal(signal.SIGTERM)
    await until(lambda: len(logged(server, "draining")) == 3)
    os.kill(pids(server)[0], signal.SIGKILL)
    assert await exit_status(server, 10) == 0
    assert len(logged(server, "worker_started")) == 2


# systemd.


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_service_manager_is_told_of_start_reload_life_and_stop(serve, tmp_path, monkeypatch, workers):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        server = await started(serve, echoing(workers))
        told: list[str] = []

        def heard(text: str) -> bool:
            with suppress(BlockingIOError):
                while True:
                    told.append(manager.recv(4096).decode().partition("\n")[0])
            return text in told

        await until(lambda: heard("READY=1"))
        assert told.count("READY=1") == 1
        await until(lambda: heard("WATCHDOG=1"))
        server.process.send_signal(signal.SIGHUP)
        await until(lambda: heard("RELOADING=1"))
        await until(lambda: heard("") or told.count("READY=1") == 2)
        server.process.send_signal(signal.SIGTERM)
        assert await exit_status(server, 10) == 0
        assert heard("STOPPING=1")
