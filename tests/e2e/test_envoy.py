"""Our Envoy configuration under a real Envoy: calls, streams, browsers, JSON, trouble, and a rolling drain."""

import asyncio
import json
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import yaml
from google.protobuf.json_format import MessageToDict
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from llmproxy_grpc._gen.v1.chat_pb2 import ChatResponse
from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from tests.e2e.conftest import Running, running
from tests.e2e.test_process import asking, rest_of, started, streaming, upstream  # noqa: F401
from tests.fakes.faulty_upstream import Answer, openai_stream
from tests.fakes.polling import until
from tests.fakes.requests import chat_request, failure, stream_request

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "deploy" / "envoy" / "envoy.yaml"
PROTOSET = ROOT / "llmproxy_grpc" / "_gen" / "llmproxy_v1.protoset"
ENVOY = Path(sys.executable).parent / "envoy"
PREFIX = "/llmproxy.v1.LlmProxyService/"

Edit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Sidecar:
    """A running Envoy: where it listens, and where its administration does."""

    address: str
    admin: str

    async def ask(self, path: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(f"http://{self.admin}{path}") as answer:
            return await answer.json(content_type=None)

    async def hosts(self) -> dict[str, dict[str, Any]]:
        """The health of each backend, by its path."""
        clusters = (await self.ask("/clusters?format=json"))["cluster_statuses"]
        statuses = next(cluster for cluster in clusters if cluster["name"] == "llmproxy")["host_statuses"]
        return {status["address"]["pipe"]["path"]: status["health_status"] for status in statuses}

    async def healthy(self) -> int:
        return sum(health == {"eds_health_status": "HEALTHY"} for health in (await self.hosts()).values())


def shipped(paths: Sequence[str], folder: Path) -> dict[str, Any]:
    """The configuration that we ship, with backends and files of a test."""
    config = yaml.safe_load(SHIPPED.read_text())
    listener, cluster = config["static_resources"]["listeners"][0], config["static_resources"]["clusters"][0]
    listener["address"]["socket_address"]["port_value"] = free_port()
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": {"pipe": {"path": path}}}} for path in paths
    ]
    for filter_ in manager(config)["http_filters"]:
        if "proto_descriptor" in filter_["typed_config"]:
            filter_["typed_config"]["proto_descriptor"] = str(PROTOSET)
    return config


def manager(config: dict[str, Any]) -> dict[str, Any]:
    chain: dict[str, Any] = config["static_resources"]["listeners"][0]["filter_chains"][0]
    found: dict[str, Any] = chain["filters"][0]["typed_config"]
    return found


def routes(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [route["route"] for route in manager(config)["route_config"]["virtual_hosts"][0]["routes"]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def envoy(paths: Sequence[str], folder: Path, edit: Edit | None = None) -> AsyncIterator[Sidecar]:
    """Runs Envoy until the block is left."""
    config = shipped(paths, folder)
    if edit is not None:
        edit(config)
    file, admin = folder / "envoy.json", folder / "admin-address"
    file.write_text(json.dumps(config))
    arguments = ["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"]
    command = [str(ENVOY), "-c", str(file), "--admin-address-path", str(admin), *arguments]
    with (folder / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        await until(lambda: admin.exists() and admin.read_text(), within=15)
        port = config["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"]
        sidecar = Sidecar(f"127.0.0.1:{port}", admin.read_text())

        async def serves() -> bool:
            with suppress(aiohttp.ClientError):
                return await sidecar.healthy() == len(paths)
            return False

        await until(serves, within=15)
        yield sidecar
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def sockets(folder: Path, number: int = 2) -> list[str]:
    return [str(folder / f"{worker}.sock") for worker in range(number)]


@pytest.fixture
def folder(tmp_path_factory) -> Path:
    """Paths of sockets must be short."""
    return tmp_path_factory.mktemp("e")


@pytest.fixture
async def sidecar(serve, upstream, folder) -> AsyncIterator[Sidecar]:  # noqa: F811
    """Envoy in front of two workers, whose upstream is faulty."""
    config = asking(upstream, grpc={"workers": 2, "listen": f"unix:{folder}/{{worker}}.sock"}, http={"listen": None})
    config["providers"].append({"name": "echo", "kind": "echo"})
    server = await started(serve, config)
    async with envoy(sockets(folder), folder) as running:
        yield running
    assert server.process.poll() is None


def test_what_we_ship_is_valid(folder):
    config = yaml.safe_load(SHIPPED.read_text())
    for filter_ in manager(config)["http_filters"]:
        if "proto_descriptor" in filter_["typed_config"]:
            filter_["typed_config"]["proto_descriptor"] = str(PROTOSET)
    (folder / "envoy.json").write_text(json.dumps(config))
    command = [str(ENVOY), "--mode", "validate", "-c", str(folder / "envoy.json"), "--log-level", "warning"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=25)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr


def test_no_stream_is_cut_by_envoys_own_limits():
    """15 seconds by default, for a route; 5 minutes, for a silent stream."""
    config = yaml.safe_load(SHIPPED.read_text())
    assert {route["timeout"] for route in routes(config)} == {"0s"}
    assert manager(config)["stream_idle_timeout"] == "0s"


async def test_calls_of_one_connection_are_spread_over_the_workers(sidecar, serve):
    async with grpc.aio.insecure_channel(sidecar.address) as channel:
        stub = LlmProxyServiceStub(channel)
        await asyncio.gather(*(stub.Chat(chat_request(model="echo/echo"), timeout=20) for _ in range(40)))
    statistics = await sidecar.ask("/clusters?format=json")
    (cluster,) = (each for each in statistics["cluster_statuses"] if each["name"] == "llmproxy")
    totals = [
        int(next(value["value"] for value in host["stats"] if value["name"] == "rq_total"))
        for host in cluster["host_statuses"]
    ]
    assert min(totals) >= 10


@pytest.mark.parametrize("ours", [True, False])
async def test_a_stream_outlasts_the_time_that_a_route_has_elsewhere(serve, upstream, folder, ours):  # noqa: F811
    def edit(config: dict[str, Any]) -> None:
        for route in routes(config):
            if not ours:
                route.pop("max_stream_duration", None)
                route["timeout"] = "1s"

    first, text, *rest = openai_stream(["Hello", " there"])
    pause = 16.0 if ours else 2.0  # a route has 15 s where nothing is said
    slow = Answer.stream([first, text, pause, *rest])
    upstream.handler = lambda request: Answer.json(b'{"data":[]}') if request.method == "GET" else slow
    await started(serve, asking(upstream, grpc={"workers": 2, "listen": f"unix:{folder}/{{worker}}.sock"}))
    async with envoy(sockets(folder), folder, edit) as sidecar, grpc.aio.insecure_channel(sidecar.address) as channel:
        call = LlmProxyServiceStub(channel).Stream(stream_request(), timeout=30)
        if ours:
            assert (await rest_of(call))[-1] == "end"
        else:
            with pytest.raises(grpc.aio.AioRpcError):
                await rest_of(call)


async def test_a_callers_cancel_reaches_the_provider(sidecar, upstream):  # noqa: F811
    async with grpc.aio.insecure_channel(sidecar.address) as channel:
        call, request = await streaming(upstream, LlmProxyServiceStub(channel))
        call.cancel()
        async with asyncio.timeout(5):
            await request.closed.wait()


async def test_a_callers_deadline_holds(sidecar, upstream):  # noqa: F811
    async with grpc.aio.insecure_channel(sidecar.address) as channel:
        call = LlmProxyServiceStub(channel).Stream(stream_request(), timeout=1)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rest_of(call)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(5):
        await upstream.requests[-1].closed.wait()


async def test_errors_arrive_with_their_details(sidecar):
    async with grpc.aio.insecure_channel(sidecar.address) as channel:
        metadata = (("x-request-id", "mine-1"),)
        error = await failure(LlmProxyServiceStub(channel).Chat(chat_request(model="nobody"), metadata=metadata))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    assert error.trailers["x-request-id"] == "mine-1"


async def test_health_is_to_be_had_through_envoy(sidecar):
    async with grpc.aio.insecure_channel(sidecar.address) as channel:
        answer = await HealthStub(channel).Check(HealthCheckRequest(service="llmproxy.v1.LlmProxyService"), timeout=10)
    assert answer.status == HealthCheckResponse.SERVING


# Browsers and JSON.


def framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def frames(body: bytes) -> list[tuple[int, bytes]]:
    found = []
    while body:
        flags, length = struct.unpack(">BI", body[:5])
        found.append((flags, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


async def post(sidecar: Sidecar, method: str, body: bytes, content_type: str, **headers: str) -> tuple[Any, bytes]:
    url = f"http://{sidecar.address}{PREFIX}{method}"
    sent = {"content-type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=sent) as answer:
        return answer, await answer.read()


async def test_grpc_web_calls_and_streams(sidecar):
    request = chat_request("Hi there", "echo/echo")
    _, body = await post(sidecar, "Chat", framed(request.SerializeToString()), "application/grpc-web+proto")
    (_, message), (flags, trailers) = frames(body)
    assert ChatResponse.FromString(message).candidates[0].message.parts[0].text == "Hi there"
    assert flags == 0x80
    assert b"grpc-status:0" in trailers.replace(b" ", b"")
    stream = stream_request("Hi there", "echo/echo").SerializeToString()
    _, body = await post(sidecar, "Stream", framed(stream), "application/grpc-web+proto")
    *events, (flags, trailers) = frames(body)
    assert len(events) >= 3
    assert (flags, b"grpc-status:0" in trailers.replace(b" ", b"")) == (0x80, True)


async def test_a_page_that_may_call_is_told_what_it_may_read(sidecar):
    origin = "https://app.example.com"
    answer, body = await post(
        sidecar,
        "Chat",
        framed(chat_request(model="nobody").SerializeToString()),
        "application/grpc-web+proto",
        origin=origin,
    )
    assert answer.headers["access-control-allow-origin"] == origin
    assert "grpc-status-details-bin" in answer.headers["access-control-expose-headers"]
    said = body + "".join(f"{name}:{value}" for name, value in answer.headers.items()).encode()
    assert b"grpc-status-details-bin" in said
    request = framed(chat_request(model="nobody").SerializeToString())
    foreign, _ = await post(sidecar, "Chat", request, "application/grpc-web+proto", origin="https://elsewhere.example")
    assert "access-control-allow-origin" not in foreign.headers


def as_json(request: Any) -> bytes:
    return json.dumps(MessageToDict(request)).encode()


async def test_json_in_json_out(sidecar):
    answer, body = await post(sidecar, "Chat", as_json(chat_request("Hi there", "echo/echo")), "application/json")
    assert answer.status == 200
    assert json.loads(body)["candidates"][0]["message"]["parts"][0]["text"] == "Hi there"


async def test_a_stream_is_a_line_of_json_for_each_event(sidecar):
    answer, body = await post(sidecar, "Stream", as_json(stream_request("Hi there", "echo/echo")), "application/json")
    assert answer.status == 200
    events = [json.loads(line) for line in body.splitlines() if line]
    assert len(events) >= 3
    assert "end" in events[-1]


async def test_an_error_is_json_with_its_details(sidecar):
    answer, body = await post(sidecar, "Chat", as_json(chat_request(model="nobody")), "application/json")
    assert answer.status == 404
    (info,) = (detail for detail in json.loads(body)["details"] if detail["@type"].endswith("ErrorInfo"))
    assert (info["reason"], info["domain"]) == ("MODEL_NOT_FOUND", "llmproxy")


# Trouble.


async def test_a_provider_that_is_out_ejects_no_worker(sidecar, upstream):  # noqa: F811
    upstream.handler = lambda _: Answer.json(b"{}", status=503)
    async with grpc.aio.insecure_channel(sidecar.address) as channel:
        stub = LlmProxyServiceStub(channel)
        errors = await asyncio.gather(*(failure(stub.Chat(chat_request(), timeout=20)) for _ in range(40)))
        assert {error.code for error in errors} == {grpc.StatusCode.UNAVAILABLE}
        await asyncio.sleep(1.5)  # a round of health checks
        assert await sidecar.healthy() == 2
        # Whoever is ejected may be back by then, since the health checks go well.
        found = await sidecar.ask("/stats?format=json&filter=outlier_detection.ejections_enforced_total")
        assert [each["value"] for each in found["stats"]] == [0]
        await stub.Chat(chat_request(model="echo/echo"), timeout=20)


@asynccontextmanager
async def backend(config: dict[str, Any], folder: Path, path: str) -> AsyncIterator[Callable[[], Any]]:
    """A server at a path; what is handed out ends it and starts another in its place."""
    processes: list[Any] = []

    def start() -> Running:
        place = folder / f"server-{Path(path).name}-{len(processes)}"
        place.mkdir()
        held = running(place, {**config, "grpc": {**config["grpc"], "listen": f"unix:{path}"}})
        server = held.__enter__()
        processes.append((held, server))
        return server

    def again() -> Running:
        _, server = processes[-1]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        return start()

    try:
        await asyncio.to_thread(start)
        yield lambda: asyncio.to_thread(again)
    finally:
        for held, _ in reversed(processes):
            held.__exit__(None, None, None)


@pytest.mark.timeout(120)
async def test_two_backends_drain_one_after_the_other_and_no_call_fails(upstream, folder, record_property):  # noqa: F811
    first, text, *rest = openai_stream(["Hello", " there"])
    slow = Answer.stream([first, text, 3.0, *rest])
    upstream.handler = lambda request: Answer.json(b'{"data":[]}') if request.method == "GET" else slow
    config = asking(upstream, grpc={"predrain": 3.5, "grace": 10}, http={"listen": None})
    config["providers"].append({"name": "echo", "kind": "echo"})
    stop, made = asyncio.Event(), {"calls": 0, "streams": 0}
    one, other = sockets(folder)

    async def keep_calling(stub: Any) -> None:
        while not stop.is_set():
            await stub.Chat(chat_request(model="echo/echo"), timeout=20)
            made["calls"] += 1
            await asyncio.sleep(0.01)

    async def keep_streaming(stub: Any) -> None:
        while not stop.is_set():
            assert (await rest_of(stub.Stream(stream_request(), timeout=20)))[-1] == "end"
            made["streams"] += 1

    async with (
        backend(config, folder, one) as restart_one,
        backend(config, folder, other) as restart_other,
        envoy([one, other], folder) as sidecar,
        grpc.aio.insecure_channel(sidecar.address) as channel,
    ):
        stub = LlmProxyServiceStub(channel)
        async with asyncio.TaskGroup() as busy:
            for _ in range(4):
                busy.create_task(keep_calling(stub))
                busy.create_task(keep_streaming(stub))
            await asyncio.sleep(0.5)
            for restart in (restart_one, restart_other):
                await restart()

                async def both() -> bool:
                    return await sidecar.healthy() == 2

                await until(both, within=15)
            stop.set()
    record_property("made", made)
    assert made["calls"] > 50
    assert made["streams"] >= 8
