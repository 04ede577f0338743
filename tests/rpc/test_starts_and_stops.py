"""Starting, reloading and stopping at the wrong moment, and beside other servers."""

import asyncio
import io
import json
import socket

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from llmproxy_grpc._gen.v1 import health_pb2
from llmproxy_grpc.app import App
from llmproxy_grpc.banner import ECHO_IS_DEFAULT, ECHO_NOTE
from llmproxy_grpc.config.loader import load
from tests.fakes.http import get
from tests.fakes.polling import until
from tests.fakes.requests import chat_request, failure, stream_request
from tests.fakes.scripted_provider import ScriptedProvider, answer, never
from tests.rpc.conftest import USUAL

CHAT = "/llmproxy.v1.LlmProxyService/Chat"


@pytest.fixture
def taken():
    """A TCP address that somebody else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def asked(path):
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        return await channel.unary_unary(CHAT)(chat_request().SerializeToString(), timeout=5)


async def test_a_live_servers_unix_socket_is_not_taken_over(serve, tmp_path):
    path = tmp_path / "proxy.sock"
    config = {"grpc": {"listen": ["127.0.0.1:0", f"unix:{path}"], "predrain": 0}}
    async with serve(config):
        with pytest.raises(OSError, match="in use"):
            async with serve(config):
                pass
        assert await asked(path)


async def test_a_stopping_server_leaves_the_socket_of_the_next_one_alone(serve, tmp_path):
    path = tmp_path / "proxy.sock"
    config = {"grpc": {"listen": ["127.0.0.1:0", f"unix:{path}"], "predrain": 0, "grace": 5}}
    async with serve(config) as first:
        held = asyncio.Event()
        first.scripted.streams.append([*answer()[:2], held.wait, *answer()[2:]])
        running = first.stub.Stream(stream_request())
        await running.read()
        first.app.stop()
        await until(lambda: not path.exists())
        async with serve(config):
            held.set()
            await first.stopped
            assert await asked(path)


async def test_a_start_that_fails_late_leaves_nothing_listening(serve, tmp_path, taken):
    path = tmp_path / "proxy.sock"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = f"127.0.0.1:{probe.getsockname()[1]}"
    scripted = ScriptedProvider()
    config = {"grpc": {"listen": [free, f"unix:{path}"], "predrain": 0}, "http": {"listen": taken}}
    with pytest.raises(OSError, match="cannot listen on"):
        async with serve(config, providers={"scripted": scripted}):
            pass
    assert scripted.closed
    assert not path.exists()
    with socket.socket() as again:
        host, _, port = free.partition(":")
        again.bind((host, int(port)))


async def test_a_server_told_to_stop_while_it_starts_never_says_that_it_is_ready(tmp_path):
    file = tmp_path / "llmproxy.yaml"
    file.write_text(json.dumps(USUAL))
    scripted = ScriptedProvider()
    output = io.StringIO()

    def read():
        return load(file, [], {}, tmp_path)

    app = App(read(), read, environ={}, output=output, build=lambda _provider, _http: scripted)
    scripted.list_models = _stopping(app)
    async with asyncio.timeout(5):
        await app.run()
    assert "ready" not in output.getvalue()
    assert scripted.closed


def _stopping(app):
    async def list_models():
        app.stop()
        return []

    return list_models


async def test_a_reload_that_ends_during_the_stop_leaves_no_provider_open(serve):
    async with serve() as server:
        built = []

        def build(_provider, _http):
            built.append(ScriptedProvider())
            built[-1].list_models = never  # holds the reload back for half a second
            return built[-1]

        server.app._build_provider = build
        server.config_file.write_text(json.dumps({**USUAL, "default_model": "assistant"}))
        await until(lambda: built)
        server.app.stop()
        server.app.stop()
        await server.stopped
        assert [provider.closed for provider in [server.scripted, *built]] == [True, True]


async def test_a_reload_asked_for_while_draining_is_ignored(serve):
    async with serve({"grpc": {"listen": "127.0.0.1:0", "predrain": 0.3}}) as server:
        server.app.stop()
        await until(lambda: server.app._readiness.phase.value == "draining")
        server.app._on_reload_signal()
        await server.stopped
        text = server.app._metrics.render().decode()
        assert "llmproxy_config_reloads_total{" not in text


async def reflecting(channel):
    """A stream of reflection, which stays open."""
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    await call.read()
    return call


async def test_a_second_signal_ends_what_is_not_ours_to_end_as_well(serve):
    async with serve({"grpc": {"listen": "127.0.0.1:0", "predrain": 0, "grace": 30}}) as server:
        held = await reflecting(server.channel)
        server.app.stop()
        server.app.stop()
        async with asyncio.timeout(5):
            await server.stopped
        assert await held.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_is_open_beside_the_main_listener_holds_no_drain(serve):
    grpc_section = {"listen": "127.0.0.1:0", "predrain": 0, "grace": 60}
    async with serve({"grpc": grpc_section, "admin": {"listen": "127.0.0.1:0"}}) as server:
        told = dict(line.split(" ", 1) for line in server.output.getvalue().splitlines() if " " in line)
        async with grpc.aio.insecure_channel(told["admin"]) as channel:
            held = await reflecting(channel)
            server.app.stop()
            async with asyncio.timeout(10):
                await server.stopped
            assert await held.code() is grpc.StatusCode.UNAVAILABLE


async def test_without_any_grace_the_error_is_rich_all_the_same(serve):
    async with serve({"grpc": {"listen": "127.0.0.1:0", "predrain": 0, "grace": 0}}) as server:
        server.scripted.chats.append(never)
        running = server.stub.Chat(chat_request())
        await until(lambda: server.scripted.requests)
        server.app.stop()
        assert (await failure(running)).reason == "DRAINING"


async def test_a_provider_that_a_reload_took_away_is_no_longer_up_or_down(serve):
    both = {"a": ScriptedProvider("a"), "b": ScriptedProvider("b")}
    models = {"models": [{"id": "assistant", "targets": [{"provider": "a", "model": "m"}]}]}
    async with serve(models, providers=both) as server:

        async def shown():
            lines = (await get(server.http, "/metrics"))[1].splitlines()
            return [line.split('"')[1] for line in lines if line.startswith("llmproxy_provider_up{")]

        await until(lambda: _equal(shown, ["a", "b"]))
        server.config_file.write_text(json.dumps({**USUAL, **models, "providers": [{"name": "a", "kind": "scripted"}]}))
        await until(lambda: _equal(shown, ["a"]), within=10)


async def _equal(look, wanted):
    return await look() == wanted


async def test_many_who_ask_for_a_probe_share_one(serve):
    async with serve() as server:
        asked_for, gate = [], asyncio.Event()

        async def probe():
            asked_for.append(True)
            await gate.wait()

        server.scripted.probe = probe
        asking = [server.stub.Health(health_pb2.HealthRequest(probe=True)) for _ in range(20)]
        await until(lambda: server.app._admission.in_flight.get("Health") == 20)
        asking[0].cancel()
        await until(lambda: server.app._admission.in_flight["Health"] == 19)
        gate.set()
        for call in asking[1:]:
            assert (await call).providers[0].provider == "scripted"
        assert asked_for == [True]


ECHO = {"name": "echo", "kind": "echo"}
REAL = {"name": "scripted", "kind": "scripted"}


@pytest.mark.parametrize(
    ("config", "tip", "notes"),
    [
        ({"providers": [ECHO], "models": [], "default_model": "echo/echo"}, "chat 'Tell", [ECHO_NOTE]),
        ({"providers": [ECHO], "models": []}, "chat -m echo/echo 'Tell", [ECHO_NOTE]),
        (
            {"providers": [ECHO, REAL], "models": [], "default_model": "echo/echo"},
            "chat -m scripted/m 'Tell",
            [ECHO_IS_DEFAULT],
        ),
        ({"providers": [ECHO, REAL], "models": []}, "chat -m scripted/m 'Tell", []),
        ({"providers": [ECHO, REAL], "models": [], "default_model": "scripted/m"}, "chat 'Tell", []),
        (
            {
                "providers": [ECHO, REAL],
                "models": [
                    {
                        "id": "either",
                        "strategy": "weighted",
                        "targets": [{"provider": "scripted", "model": "m"}, {"provider": "echo", "model": "echo"}],
                    }
                ],
                "default_model": "either",
            },
            "chat -m scripted/m 'Tell",
            [ECHO_IS_DEFAULT],
        ),
    ],
)
async def test_the_tip_rather_names_a_model_that_does_more_than_repeat(serve, config, tip, notes):
    scripted = ScriptedProvider()
    scripted.models = ["m"]
    async with serve(config, providers={"scripted": scripted}) as server:
        said = server.output.getvalue()
    assert tip in said
    assert [line for line in said.splitlines() if line.startswith("note ")] == notes
