import asyncio
import json
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2 as standard
from grpc_health.v1.health_pb2_grpc import HealthStub
from structlog.testing import capture_logs

from llmproxy_grpc._gen.v1 import error_pb2, health_pb2, model_pb2
from llmproxy_grpc.server.readiness import Phase
from tests.fakes.http import get
from tests.fakes.polling import until
from tests.fakes.requests import broken_off, chat_request, failure, stream_request
from tests.fakes.scripted_provider import ScriptedProvider, answer, never
from tests.rpc.conftest import USUAL

NOT_SERVING = standard.HealthCheckResponse.NOT_SERVING


async def test_a_drain_tells_first_and_then_lets_calls_finish(serve):
    config = {"grpc": {"listen": "127.0.0.1:0", "predrain": 3, "grace": 5}}
    async with serve(config) as server:
        held = asyncio.Event()
        server.scripted.streams.append([*answer()[:2], held.wait, *answer()[2:]])
        watch = HealthStub(server.channel).Watch(standard.HealthCheckRequest())
        assert (await watch.read()).status == standard.HealthCheckResponse.SERVING
        running = server.stub.Stream(stream_request())
        await running.read()
        server.app.stop()
        assert (await watch.read()).status == NOT_SERVING
        assert (await get(server.http, "/readyz"))[0] == 503
        assert (await get(server.http, "/livez"))[0] == 200
        await server.stub.Chat(chat_request())  # still taken, until load balancers have noticed
        health = await server.stub.Health(health_pb2.HealthRequest())
        assert health.status == health_pb2.SERVING_STATUS_DRAINING
        await until(lambda: server.app._readiness.phase is Phase.STOPPED)
        held.set()
        events = []
        while (event := await running.read()) is not grpc.aio.EOF:
            events.append(event)
        assert events[-1].WhichOneof("event") == "end"
        await server.stopped
        assert server.scripted.closed


async def test_what_outlives_the_grace_is_ended_with_draining(serve):
    config = {"grpc": {"listen": "127.0.0.1:0", "predrain": 0, "grace": 1}}
    async with serve(config) as server:
        server.scripted.streams.append([*answer()[:2], never])
        running = server.stub.Stream(stream_request())
        await running.read()
        server.app.stop()
        _, error = await broken_off(running)
        assert (error.code, error.reason, error.pushback) == (grpc.StatusCode.UNAVAILABLE, "DRAINING", None)
        assert error.detail.partial_usage.output_tokens > 0
        assert server.scripted.cancelled == 1


async def test_open_watches_do_not_hold_the_drain(serve):
    grace = 8
    async with serve({"grpc": {"listen": "127.0.0.1:0", "predrain": 0, "grace": grace}}) as server:
        watches = [HealthStub(server.channel).Watch(standard.HealthCheckRequest(service=name)) for name in ("", "x")]
        for watch in watches:
            await watch.read()
        began = time.monotonic()
        server.app.stop()
        await server.stopped
        assert time.monotonic() - began < grace / 2
        assert [(await watch.read()).status for watch in watches] == [NOT_SERVING, NOT_SERVING]
        assert [await watch.read() for watch in watches] == [grpc.aio.EOF, grpc.aio.EOF]


async def test_a_second_signal_ends_at_once(serve):
    config = {"grpc": {"listen": "127.0.0.1:0", "predrain": 30, "grace": 30}}
    async with serve(config) as server:
        server.scripted.chats.append(never)
        running = server.stub.Chat(chat_request())
        await until(lambda: server.scripted.requests)
        server.app.stop()
        server.app.stop()
        error = await failure(running)
        assert error.reason == "DRAINING"
        assert [attempt.reason for attempt in error.detail.attempts] == [error_pb2.ERROR_REASON_DRAINING]
        async with asyncio.timeout(5):
            await server.stopped


async def test_a_reload_swaps_the_models_without_dropping_a_call(serve):
    async with serve() as server:
        held = asyncio.Event()
        server.scripted.streams.append([*answer()[:2], held.wait, *answer()[2:]])
        running = server.stub.Stream(stream_request())
        await running.read()
        changed = {**USUAL, "models": [{"id": "renamed", "targets": [{"provider": "scripted", "model": "m"}]}]}
        server.config_file.write_text(json.dumps(changed))

        async def renamed() -> bool:
            return (await server.stub.ListModels(model_pb2.ListModelsRequest())).models[0].id == "renamed"

        await until(renamed, within=10)
        assert (await failure(server.stub.Chat(chat_request()))).reason == "MODEL_NOT_FOUND"
        assert not server.scripted.closed
        held.set()
        events = []
        while (event := await running.read()) is not grpc.aio.EOF:
            events.append(event)
        assert events[-1].WhichOneof("event") == "end"
        await until(lambda: server.scripted.closed)


async def test_a_reload_forgets_the_learned_limits_of_those_providers_alone_that_changed(serve):
    providers = {name: ScriptedProvider(name) for name in ("same", "other")}
    listed = [{"name": name, "kind": "scripted", "max_in_flight": "auto"} for name in providers]
    async with serve({"providers": listed, "models": []}, providers=providers) as server:
        fresh = server.app._runtime.concurrency.limit("other")
        for name in providers:
            server.app._runtime.concurrency._learned[name].refused()
        config = json.loads(server.config_file.read_text())
        config["providers"][1]["base_url"] = "http://127.0.0.1:9"
        server.config_file.write_text(json.dumps(config))
        await server.app._manager.reload()
        after = server.app._runtime.concurrency
        assert (after.limit("same") < fresh, after.limit("other")) == (True, fresh)


async def test_a_bad_file_keeps_the_old_configuration_and_is_counted(serve):
    async with serve() as server:
        server.config_file.write_text("grpc: {listen: [}")

        async def counted() -> bool:
            return 'llmproxy_config_reloads_total{result="rejected"} 1.0' in (await get(server.http, "/metrics"))[1]

        await until(counted, within=10)
        assert (await server.stub.Chat(chat_request())).model == "assistant"


async def test_a_provider_that_cannot_be_built_keeps_the_old_configuration(serve):
    async with serve(providers={"scripted": ScriptedProvider()}) as server:
        changed = {**USUAL, "providers": [{"name": "unknown", "kind": "scripted"}], "models": []}
        server.app._build_provider = _refuse
        server.config_file.write_text(json.dumps(changed))
        assert await server.app._manager.reload() == "rejected"
        assert (await server.stub.Chat(chat_request())).model == "assistant"


def _refuse(*_arguments):
    raise ValueError("kind 'unknown' is unknown")


async def test_metrics_count_calls_attempts_and_tokens_with_closed_labels(serve):
    async with serve() as server:
        await server.stub.Chat(chat_request())
        await failure(server.stub.Chat(chat_request(model="made-up-by-a-caller")))
        async for _ in server.stub.Stream(stream_request()):
            pass
        status, text = await get(server.http, "/metrics")
    assert status == 200
    for line in (
        'llmproxy_calls_total{code="OK",method="Chat",model="assistant"} 1.0',
        'llmproxy_calls_total{code="NOT_FOUND",method="Chat",model="other"} 1.0',
        'llmproxy_attempts_total{outcome="ok",provider="scripted"} 2.0',
        'llmproxy_tokens_total{model="assistant",provider="scripted",type="input"} 6.0',
        'llmproxy_calls_in_flight{method="Chat"} 0.0',
        'llmproxy_time_to_first_token_seconds_count{model="assistant",provider="scripted"} 1.0',
        'llmproxy_build_info{version="0.1.0"} 1.0',
        'llmproxy_provider_up{provider="scripted"} 1.0',
    ):
        assert line in text.splitlines(), line
    assert "made-up" not in text


async def test_a_taken_port_is_refused(serve):
    async with serve() as server:
        with pytest.raises(OSError, match="cannot listen on"):
            async with serve({"grpc": {"listen": server.address, "predrain": 0}}):
                pass


async def test_unix_sockets_serve_and_a_stale_one_is_replaced(serve, tmp_path):
    path = tmp_path / "proxy.sock"
    config = {"grpc": {"listen": ["127.0.0.1:0", f"unix:{path}"], "predrain": 0}}
    stale = await asyncio.start_unix_server(lambda _reader, _writer: None, path)
    stale.close()
    await stale.wait_closed()
    async with serve(config), grpc.aio.insecure_channel(f"unix:{path}") as channel:
        chat = channel.unary_unary("/llmproxy.v1.LlmProxyService/Chat")
        assert await chat(chat_request().SerializeToString())
    assert not path.exists()


async def test_a_rejected_reload_closes_what_it_had_built(serve):
    async with serve() as server:
        extra = ScriptedProvider("extra")

        def build(provider, _http):
            if provider.name == "extra":
                return extra
            raise ValueError("cannot be built")

        server.app._build_provider = build
        changed = {**USUAL, "providers": [{"name": name, "kind": "scripted"} for name in ("extra", "scripted")]}
        server.config_file.write_text(json.dumps(changed))
        assert await server.app._manager.reload() == "rejected"
        assert extra.closed
        assert not server.scripted.closed


async def test_a_file_that_is_emptied_keeps_the_old_configuration(serve):
    async with serve() as server:
        server.config_file.write_text("")
        assert await server.app._manager.reload() == "rejected"
        assert (await server.stub.Chat(chat_request())).model == "assistant"


async def test_a_restart_is_needed_as_long_as_the_file_differs_from_the_start(serve):
    async with serve() as server:
        began = json.loads(server.config_file.read_text())

        async def needed(**sections):
            with capture_logs() as lines:
                server.config_file.write_text(json.dumps({**began, **sections}))
                await server.app._manager.reload()  # or whoever watches the file has been quicker
            return [line["sections"] for line in lines if line["event"] == "restart_needed"]

        changed = {"grpc": {**began["grpc"], "reflection": False}}
        assert await needed(**changed) == [["grpc"]]
        assert await needed(**changed, retries={"max_attempts": 2}) == [["grpc"]]
        assert await needed() == []
