"""Workers that learn from each other, take a new configuration, and leave to successors."""

import asyncio
import json
import os
import signal
import socket
from typing import Any

import grpc
import pytest

from llmproxy_grpc._gen.admin.v1 import provider_pb2
from llmproxy_grpc._gen.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from llmproxy_grpc._gen.v1 import model_pb2
from tests.e2e.conftest import Running
from tests.e2e.test_process import LIST, asking, exit_status, rest_of, run, started, streaming, upstream  # noqa: F401
from tests.e2e.workers import chats, connections, counted, echoing, logged, pids
from tests.fakes.faulty_upstream import Answer
from tests.fakes.http import get
from tests.fakes.polling import until
from tests.fakes.requests import chat_request, failure

# What one learns, all know.


async def test_a_rate_limit_that_one_worker_meets_all_keep(serve, upstream, record_property):  # noqa: F811
    limited = Answer.json(b'{"error":{"message":"slow down"}}', status=429, headers={"retry-after": "30"})
    upstream.handler = lambda request: LIST if request.method == "GET" else limited
    server = await started(serve, asking(upstream, grpc={"workers": 2}))
    async with connections(server.grpc, 12) as stubs:
        assert (await failure(stubs[0].Chat(chat_request()))).reason == "UPSTREAM_RATE_LIMITED"
        asked = len(upstream.requests)
        await asyncio.sleep(0.25)
        for stub in stubs:
            assert (await failure(stub.Chat(chat_request()))).reason == "UPSTREAM_RATE_LIMITED"
    assert len(upstream.requests) == asked
    assert {line["worker"] for line in logged(server, "call")} == {0, 1}


@pytest.mark.parametrize(("status", "needed", "event"), [(500, 5, "circuit_open"), (401, 1, "credential_benched")])
async def test_a_target_that_one_worker_finds_out_of_order_none_asks(serve, upstream, status, needed, event):  # noqa: F811
    broken = Answer.json(b'{"error":{"message":"no"}}', status=status)
    upstream.handler = lambda request: LIST if request.method == "GET" else broken
    config = asking(upstream, grpc={"workers": 2}, breaker={"open": 60, "max_open": 60})
    config["providers"].append({"name": "echo", "kind": "echo"})
    config["models"][0]["targets"].append({"provider": "echo", "model": "echo"})
    server = await started(serve, config)
    async with connections(server.grpc, 12) as stubs:
        for _ in range(needed):
            await stubs[0].Chat(chat_request(), timeout=20)
        asked = len(upstream.requests)
        await until(lambda: logged(server, event))
        await asyncio.sleep(0.25)
        await chats(stubs)
    assert len(upstream.requests) == asked
    assert {line["worker"] for line in logged(server, "call")} == {0, 1}
    assert len(logged(server, event)) == 1


async def test_a_worker_that_starts_late_knows_what_the_others_have_learned(serve, upstream):  # noqa: F811
    limited = Answer.json(b'{"error":{"message":"slow down"}}', status=429, headers={"retry-after": "60"})
    upstream.handler = lambda request: LIST if request.method == "GET" else limited
    server = await started(serve, asking(upstream, grpc={"workers": 2}))
    async with connections(server.grpc, 1) as stubs:
        await failure(stubs[0].Chat(chat_request()))
    asked = [request.method for request in upstream.requests].count("POST")
    for pid in pids(server):
        os.kill(pid, signal.SIGKILL)

    async def back() -> bool:
        return len(pids(server)) == 2 and await counted(server, "llmproxy_worker_restarts_total") == 2

    await until(back, within=20)
    async with connections(server.grpc, 8) as stubs:
        for stub in stubs:
            assert (await failure(stub.Chat(chat_request(), wait_for_ready=True))).reason == "UPSTREAM_RATE_LIMITED"
    assert [request.method for request in upstream.requests].count("POST") == asked


async def test_a_provider_that_an_operator_disables_gets_no_call_from_any_worker(serve):
    server = await started(serve, echoing(admin={"listen": "127.0.0.1:0"}))
    (admin,) = (line.split()[1] for line in server.stdout.read_text().splitlines() if line.startswith("admin "))
    async with grpc.aio.insecure_channel(admin) as channel, connections(server.grpc, 12) as stubs:
        await AdminServiceStub(channel).DisableProvider(provider_pb2.DisableProviderRequest(name="echo"))
        await asyncio.sleep(0.25)
        for stub in stubs:
            assert (await failure(stub.Chat(chat_request()))).reason == "NO_PROVIDER_AVAILABLE"
    assert {line["worker"] for line in logged(server, "call")} == {0, 1}


# Reload.


def rewrite(server: Running, **sections: Any) -> None:
    file = server.stdout.parent / "llmproxy.yaml"
    config = json.loads(file.read_text())
    for name, section in sections.items():
        config[name] = {**config[name], **section} if isinstance(section, dict) else section
    file.write_text(json.dumps(config))


async def reloads(server: Running, number: int) -> list[str]:
    """The results of the reloads, once there are so many."""
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        found[:] = [line for line in logged(server, "config_reload") if "worker" not in line]
        return len(found) >= number

    await until(enough, within=20)
    return [line["result"] for line in found]


RENAMED = [{"id": "renamed", "targets": [{"provider": "echo", "model": "echo"}]}]


async def test_a_reload_reaches_every_worker(serve):
    server = await started(serve, echoing())
    rewrite(server, models=RENAMED)
    server.process.send_signal(signal.SIGHUP)
    assert (await reloads(server, 1))[0] == "applied"
    async with connections(server.grpc, 20) as stubs:
        for stub in stubs:
            listed = await stub.ListModels(model_pb2.ListModelsRequest(), timeout=10)
            assert {model.id for model in listed.models} == {"renamed", "echo/echo"}
    assert len(pids(server)) == len(logged(server, "worker_started")) == 2
    assert await counted(server, 'llmproxy_config_reloads_total{result="applied"}') == 1


async def test_a_bad_file_changes_no_worker_not_even_one_that_starts_later(serve):
    server = await started(serve, echoing())
    (server.stdout.parent / "llmproxy.yaml").write_text("models: 7")
    assert (await reloads(server, 1))[0] == "rejected"
    os.kill(pids(server)[0], signal.SIGKILL)
    await until(lambda: len(logged(server, "worker_started")) == 3, within=15)
    async with connections(server.grpc, 10) as stubs:
        await chats(stubs)


async def test_a_change_of_a_listener_replaces_the_workers_and_no_call_fails(serve, upstream, record_property):  # noqa: F811
    """Calls, connections and streams go on all the while; the streams began with the workers that leave."""
    config = asking(upstream, grpc={"workers": 2, "grace": 10, "max_connection_age": 2})
    config["providers"].append({"name": "echo", "kind": "echo"})
    server = await started(serve, config)
    stop, made = asyncio.Event(), 0

    async def call(stub: Any) -> None:
        nonlocal made
        await stub.Chat(chat_request(model="echo/echo"), timeout=20)
        made += 1
        await asyncio.sleep(0.005)

    async def keep_calling(stub: Any) -> None:
        while not stop.is_set():
            await call(stub)

    async def keep_connecting() -> None:
        while not stop.is_set():
            async with connections(server.grpc, 1) as stubs:
                await call(stubs[0])

    before = pids(server)
    async with connections(server.grpc, 6) as stubs, connections(server.grpc, 4) as others, asyncio.TaskGroup() as busy:
        streams = [(await streaming(upstream, stub))[0] for stub in others]
        for stub in stubs:
            busy.create_task(keep_calling(stub))
        busy.create_task(keep_connecting())
        await asyncio.sleep(0.5)
        rewrite(server, grpc={"max_receive_bytes": 2_000_000})
        server.process.send_signal(signal.SIGHUP)
        assert (await reloads(server, 1))[0] == "applied"
        upstream.release()
        await until(lambda: len(logged(server, "worker_stopped")) == 2, within=20)
        await asyncio.sleep(0.3)
        stop.set()
        for stream in streams:
            assert (await rest_of(stream))[-1] == "end"
    record_property("calls", made)
    assert not set(before) & set(pids(server))
    assert made > 100
    assert await counted(server, 'llmproxy_calls_total{code="OK",method="Chat",model="echo/echo"}') == made
    assert await counted(server, "llmproxy_workers") == 2


async def test_a_drain_while_workers_leave_does_not_wait_for_the_age_of_connections(serve):
    server = await started(serve, echoing())
    async with connections(server.grpc, 6) as stubs:
        await chats(stubs)
        rewrite(server, grpc={"max_receive_bytes": 2_000_000})
        server.process.send_signal(signal.SIGHUP)
        assert (await reloads(server, 1))[0] == "applied"
        await until(lambda: len(logged(server, "leaving")) == 2)
        server.process.send_signal(signal.SIGTERM)
        assert await exit_status(server, 10) == 0


async def test_what_listens_at_paths_is_replaced_without_a_moment_without_a_listener(serve, tmp_path):
    server = await started(serve, echoing(grpc={"listen": f"unix:{tmp_path}/{{worker}}.sock", "max_connection_age": 1}))
    stop = asyncio.Event()

    async def keep_connecting(number: int) -> None:
        while not stop.is_set():
            async with connections(f"unix:{tmp_path}/{number}.sock", 1) as stubs:
                await stubs[0].Chat(chat_request(), timeout=10)

    async with asyncio.TaskGroup() as busy:
        for number in range(2):
            busy.create_task(keep_connecting(number))
        rewrite(server, grpc={"reflection": False})
        server.process.send_signal(signal.SIGHUP)
        assert (await reloads(server, 1))[0] == "applied"
        await until(lambda: len(logged(server, "worker_stopped")) == 2, within=20)
        stop.set()
    assert sorted(path.name for path in tmp_path.glob("*.sock*")) == ["0.sock", "1.sock"]


async def test_the_number_of_workers_can_change(serve):
    server = await started(serve, echoing())
    for number, workers in enumerate((3, 1), 1):
        rewrite(server, grpc={"workers": workers})
        server.process.send_signal(signal.SIGHUP)
        assert set(await reloads(server, number)) <= {"applied", "unchanged"}

        async def there(workers: int = workers) -> bool:
            return await counted(server, "llmproxy_workers") == workers

        await until(there, within=20)
        async with connections(server.grpc, 6) as stubs:
            await chats(stubs)


async def test_a_listener_that_cannot_be_had_leaves_everything_as_it_was(serve):
    server = await started(serve, echoing())
    before = pids(server)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        rewrite(server, grpc={"listen": ["127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"]})
        server.process.send_signal(signal.SIGHUP)
        assert (await reloads(server, 1))[0] == "rejected"
    assert pids(server) == before
    async with connections(server.grpc, 10) as stubs:
        await chats(stubs)


async def test_the_http_listener_moves_with_a_reload_and_stays_where_it_is_with_a_bad_one(serve):
    server = await started(serve, echoing())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        probe.listen()
        rewrite(server, http={"listen": address})
        server.process.send_signal(signal.SIGHUP)
        assert (await reloads(server, 1))[0] == "rejected"
        assert (await get(server.http, "/readyz"))[0] == 200
    server.process.send_signal(signal.SIGHUP)
    await until(lambda: "applied" in [line["result"] for line in logged(server, "config_reload")], within=20)
    assert (await get(address, "/readyz"))[0] == 200
    with pytest.raises(OSError):
        await get(server.http, "/readyz")


async def test_what_became_of_records_adds_up_when_a_worker_is_killed(serve):
    server = await started(serve, echoing(records={"enabled": True}))
    async with connections(server.grpc, 20) as stubs:
        await chats(stubs)
        os.kill(pids(server)[0], signal.SIGKILL)
        await until(lambda: logged(server, "worker_died"))
        await chats(stubs)

    async def whole() -> bool:
        return await counted(server, 'llmproxy_records_total{state="stored"}') == 40

    await until(whole, within=20)
    assert await counted(server, 'llmproxy_records_total{state="accepted"}') == 40
    assert await counted(server, 'llmproxy_records_total{state="dropped"}') == 0
