"""The real process under an operator's hands: signals, and what its logs must never say."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from llmproxy_grpc._gen.v1 import health_pb2, model_pb2
from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from tests.e2e.conftest import Running, end, wait_until_ready, with_listeners
from tests.fakes.certificates import Authority
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Framing, Request, openai_answer, openai_stream
from tests.fakes.http import get
from tests.fakes.polling import until
from tests.fakes.requests import RichError, chat_request, failure, stream_request

SOON = 1.0  # what is promised within 100 ms; tests assert ten times the figure
SERVER = [sys.executable, "-m", "llmproxy_grpc"]
CLIENT = [sys.executable, "-m", "llmproxy_client.ctl"]
LIST = Answer.json(b'{"data":[]}')

Start = Callable[..., Running]


@pytest.fixture
async def upstream() -> AsyncIterator[FaultyUpstream]:
    """Lists no models, and goes silent behind the first word of every stream until it is released."""
    first, text, *rest = openai_stream(["Hello", " there"])

    def answer(request: Request) -> Answer:
        if request.method == "GET":
            return LIST
        streamed = b'"stream":true' in request.body
        return Answer.stream([first, text, Do.STALL, *rest]) if streamed else Answer.json(openai_answer("Hello there"))

    async with FaultyUpstream() as upstream:
        upstream.handler = answer
        yield upstream


def asking(upstream: FaultyUpstream, key: str = "test-key", **sections: Any) -> dict[str, Any]:
    provider = {"name": "up", "kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": key}
    targets = [{"provider": "up", "model": "m"}]
    return {
        "providers": [provider],
        "models": [{"id": "assistant", "targets": targets}],
        "default_model": "assistant",
        "http": {"listen": "127.0.0.1:0"},
        **sections,
    }


async def started(serve: Start, config: dict[str, Any]) -> Running:
    """A ready server; this loop goes on meanwhile, since its upstream is in it."""
    return await asyncio.to_thread(serve, config)


async def exit_status(server: Running, within: float) -> int:
    return await asyncio.to_thread(server.process.wait, within)


async def streaming(upstream: FaultyUpstream, stub: Any) -> tuple[Any, Request]:
    """A stream whose first word has come, and its request."""
    call = stub.Stream(stream_request(), timeout=25)
    async with asyncio.timeout(15):
        await call.read()
        await call.read()
    return call, upstream.requests[-1]


async def rest_of(call: Any) -> list[str]:
    kinds = []
    while (event := await call.read()) is not grpc.aio.EOF:
        kinds.append(event.WhichOneof("event"))
    return kinds


async def metric(server: Running, line: str) -> None:
    """Waits until the metrics have a line."""

    async def shown() -> bool:
        assert server.http is not None
        return line in (await get(server.http, "/metrics"))[1].splitlines()

    await until(shown)


# Signals.


async def test_a_killed_client_closes_the_upstream_connection(serve, upstream, record_property):
    server = await started(serve, asking(upstream))
    client = await asyncio.create_subprocess_exec(
        *CLIENT,
        "--target",
        server.grpc,
        "chat",
        "-m",
        "assistant",
        "Hi",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert client.stdout is not None
    async with asyncio.timeout(15):
        assert await client.stdout.read(5) == b"Hello"
    request = upstream.requests[-1]
    assert not request.closed.is_set()
    client.kill()
    began = time.perf_counter()
    async with asyncio.timeout(SOON):
        await request.closed.wait()
    record_property("milliseconds", round((time.perf_counter() - began) * 1000, 2))
    assert await client.wait() == -signal.SIGKILL
    await metric(server, 'llmproxy_calls_total{code="CANCELLED",method="Stream",model="assistant"} 1.0')


async def test_a_drain_lets_a_stream_end_and_exits_with_0(serve, upstream):
    server = await started(serve, asking(upstream, grpc={"grace": 20}))
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        call, _ = await streaming(upstream, LlmProxyServiceStub(channel))
        server.process.send_signal(signal.SIGTERM)
        await until(lambda: _refuses(server.grpc))
        assert server.process.poll() is None
        upstream.release()
        assert (await rest_of(call))[-1] == "end"
    assert await exit_status(server, 10) == 0
    assert [json.loads(line)["event"] for line in server.stderr.read_text().splitlines()][-1] == "stopped"


async def test_a_second_sigterm_ends_at_once(serve, upstream):
    server = await started(serve, asking(upstream, grpc={"predrain": 20, "grace": 20}))
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        call, request = await streaming(upstream, LlmProxyServiceStub(channel))
        server.process.send_signal(signal.SIGTERM)
        await until(lambda: _not_ready(server))
        server.process.send_signal(signal.SIGTERM)
        began = time.perf_counter()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rest_of(call)
        assert (raised.value.code(), RichError(raised.value).reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert await exit_status(server, 10) == 0
        assert time.perf_counter() - began < 10  # not after predrain or grace
        async with asyncio.timeout(SOON):
            await request.closed.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_server_exits_at_once_with_0(serve, upstream, number):
    server = await started(serve, asking(upstream, grpc={"grace": 20}))
    server.process.send_signal(number)
    assert await exit_status(server, 10) == 0


async def test_sighup_reads_the_configuration_again(serve, upstream):
    server = await started(serve, asking(upstream))
    server.process.send_signal(signal.SIGHUP)
    await metric(server, 'llmproxy_config_reloads_total{result="unchanged"} 1.0')
    file = server.stdout.parent / "llmproxy.yaml"
    changed = json.loads(file.read_text())
    changed["models"][0]["id"] = "renamed"
    changed["default_model"] = "renamed"
    file.write_text(json.dumps(changed))
    server.process.send_signal(signal.SIGHUP)
    await metric(server, 'llmproxy_config_reloads_total{result="applied"} 1.0')
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        listed = await LlmProxyServiceStub(channel).ListModels(model_pb2.ListModelsRequest())
        assert [model.id for model in listed.models] == ["renamed"]


@pytest.fixture
def starting(tmp_path):
    """Starts a server; gives its process once it has a library in its memory, and what it prints."""
    started: list[subprocess.Popen] = []

    def start(library: str, **grpc: object) -> tuple[subprocess.Popen, Path, Path]:
        config = with_listeners({"discovery": "off", "grpc": grpc, "records": {"enabled": False}})
        (tmp_path / "llmproxy.yaml").write_text(json.dumps(config))
        out, err = tmp_path / "stdout", tmp_path / "stderr"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen([*SERVER, "serve"], cwd=tmp_path, stdout=stdout, stderr=stderr)
        started.append(process)
        maps = Path(f"/proc/{process.pid}/maps")
        deadline = time.monotonic() + 20
        while library not in maps.read_text():
            assert time.monotonic() < deadline
        return process, out, err

    yield start
    for process in started:
        assert end(process) == 0


def test_a_hang_up_while_the_server_starts_does_not_end_it(starting):
    process, out, err = starting("cygrpc")  # in the middle of its imports
    process.send_signal(signal.SIGHUP)
    wait_until_ready(process, out, err)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("library", ["pydantic_core", "yaml", "aiohttp", "watchfiles", "cygrpc", "uvloop"])
def test_an_end_while_the_server_starts_is_a_good_one(starting, library, workers):
    if workers > 1 and library == "cygrpc":
        library = "watchfiles"  # the supervisor has no use for gRPC
    process, out, err = starting(library, workers=workers)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert (out.read_text(), "Traceback" in err.read_text()) == ("", False)


async def _refuses(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return True
    writer.close()
    return False


async def _not_ready(server: Running) -> bool:
    assert server.http is not None
    return (await get(server.http, "/readyz"))[0] == 503


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMPROXY_")}
    return subprocess.run(
        [*SERVER, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=25
    )


# What is said.


KEY = "test-key-canary-of-the-provider"
PROMPT = "canary-in-the-prompt"
LABEL = "canary-in-a-label"
USER = "canary-of-the-end-user"
METADATA = "canary-in-the-metadata"
ANSWER = "canary-in-the-answer"
CANARIES = (KEY, PROMPT, LABEL, USER, METADATA, ANSWER)


def leaky(request: Request) -> Answer:
    """Answers that repeat what nobody else may see, by the model that is asked for."""
    if request.method == "GET":
        return Answer.json(json.dumps({"error": {"message": f"bad key {KEY}"}}).encode(), status=401)
    said = json.dumps(
        {"error": {"message": f"Your key {KEY} is bad. You asked: api_key={KEY}", "code": KEY[:30]}}
    ).encode()
    head, text, *_ = openai_stream(ANSWER)
    return {
        "fine": Answer.stream(openai_stream(ANSWER))
        if b'"stream":true' in request.body
        else Answer.json(openai_answer(ANSWER)),
        "unauthorized": Answer.json(said, status=401),
        "failing": Answer.json(said, status=500),
        "text": Answer(status=500, headers={"content-type": "text/plain"}, body=[f"Bearer {KEY}".encode()]),
        "limited": Answer.json(said, status=429, headers={"x-request-id": "r1", "retry-after": KEY}),
        "in-band": Answer.json(said),
        "broken": Answer.stream([head, text, Do.RESET]),
        "event": Answer.stream([head, text, b"event: error\ndata: %b\n\n" % said]),
        "garbage": Answer.json(f"{{{KEY}".encode()),
        "redirect": Answer.json(b"{}", status=307, headers={"location": f"http://127.0.0.1:1/{KEY}"}),
        "no-http": Answer(raw=[f"HTTP/1.1 {KEY}\r\n\r\n".encode(), Do.EOF]),
        "half": Answer(headers={"content-type": "application/json"}, body=[KEY.encode()], length=500, after=[Do.EOF]),
        "unframed": Answer(body=[KEY.encode()], framing=Framing.CLOSE),
    }[request.json()["model"]]


async def test_no_log_metric_or_status_repeats_a_prompt_a_key_or_metadata(serve, upstream):
    upstream.handler = leaky
    server = await started(serve, {**asking(upstream, KEY), "telemetry": {"log_level": "debug"}})
    seen = []
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub = LlmProxyServiceStub(channel)
        models = ["fine", "unauthorized", "failing", "text", "limited", "in-band", "broken", "event", "garbage"]
        models += ["redirect", "no-http", "half", "unframed"]
        for model in models:
            seen += [await _outcome(call) for call in _calls(stub, f"up/{model}")]
        invalid = chat_request(PROMPT, "up/fine")
        invalid.messages[0].parts[0].tool_result.tool_call_id = PROMPT
        seen.append(await _outcome(stub.Chat(invalid)))
        corrupt = channel.unary_unary("/llmproxy.v1.LlmProxyService/Chat")
        seen.append(await _outcome(corrupt(b"\xff" + PROMPT.encode())))
        seen.append((await stub.Health(health_pb2.HealthRequest())).SerializeToString())
    metrics = (await get(server.http, "/metrics"))[1]
    server.process.send_signal(signal.SIGTERM)
    assert await exit_status(server, 10) == 0
    assert len(seen) == 2 * len(models) + 3
    logs = server.stderr.read_text()
    assert logs.count('"event":"call"') == len(seen)
    sinks = {"stderr": logs, "stdout": server.stdout.read_text(), "metrics": metrics}
    sinks |= {f"status {number}": status.decode("latin-1") for number, status in enumerate(seen)}
    for canary in CANARIES:
        for name, sink in sinks.items():
            assert canary not in sink, f"{canary} in {name}"


def _calls(stub: Any, model: str) -> list[Any]:
    metadata = (("authorization", f"Bearer {METADATA}"), ("x-secret", METADATA), ("traceparent", METADATA))
    chat, stream = chat_request(PROMPT, model), stream_request(PROMPT, model)
    for request in (chat, stream.chat):
        request.labels["team"] = LABEL
        request.end_user_id = USER
    return [stub.Chat(chat, metadata=metadata, timeout=20), stub.Stream(stream, metadata=metadata, timeout=20)]


async def _outcome(call: Any) -> bytes:
    """Everything that a call says beside its answer: message, details and trailers."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        trailers = [value if isinstance(value, bytes) else value.encode() for _, value in error.trailing_metadata()]
        return b"\n".join([(error.details() or "").encode(), *trailers])
    return b""


async def test_every_line_of_the_log_is_json_and_a_call_has_one(serve, upstream):
    server = await started(serve, asking(upstream))
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub = LlmProxyServiceStub(channel)
        await stub.Chat(chat_request("Hi\n\x1b[31m{}"), metadata=(("x-request-id", "mine-1"),))
        await failure(stub.Chat(chat_request(model="nobody")))
        upstream.release()
        assert [event async for event in stub.Stream(stream_request())]
    server.process.send_signal(signal.SIGTERM)
    assert await exit_status(server, 10) == 0
    lines = [json.loads(line) for line in server.stderr.read_text().splitlines()]
    for line in lines:
        assert {"event", "level", "timestamp"} <= set(line)
    chat, missing, stream = (line for line in lines if line["event"] == "call")
    assert (chat["method"], chat["code"], chat["request_id"]) == ("Chat", "OK", "mine-1")
    assert (chat["provider"], chat["upstream_model"], chat["attempts"]) == ("up", "m", 1)
    assert (chat["input_tokens"], chat["output_tokens"]) == (5, 7)
    assert (missing["code"], missing["reason"], missing["model"]) == ("NOT_FOUND", "MODEL_NOT_FOUND", "nobody")
    assert (stream["method"], stream["code"]) == ("Stream", "OK")
    assert stream["first_output"] <= stream["duration"]


async def test_what_spoils_a_handshake_leaves_no_line_that_is_no_log(serve, tmp_path):
    certificate, key = Authority(tmp_path).issue("server")
    server = await started(serve, {"grpc": {"tls": {"cert": str(certificate), "key": str(key)}}, "discovery": "off"})
    host, _, port = server.grpc.rpartition(":")
    for _ in range(3):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await writer.drain()
        writer.close()
    server.process.send_signal(signal.SIGTERM)
    await exit_status(server, 10)
    assert [line for line in server.stderr.read_text().splitlines() if not line.startswith("{")] == []


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_server_that_is_started_without_standard_streams_serves_and_writes_into_no_file_of_its_own(tmp_path, closed):
    socket = tmp_path / "own.sock"
    config = with_listeners({"discovery": "off", "providers": [{"name": "a", "kind": "echo"}]})
    config["grpc"]["listen"] = f"unix:{socket}"
    (tmp_path / "llmproxy.yaml").write_text(json.dumps(config))
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *SERVER, "serve"]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=tmp_path, **streams) as process:
        try:
            with grpc.insecure_channel(f"unix:{socket}") as channel:
                grpc.channel_ready_future(channel).result(20)
                assert LlmProxyServiceStub(channel).ListModels(model_pb2.ListModelsRequest(), timeout=10).models
            opened = [Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in range(3)]
        finally:
            status = end(process)
    assert status == 0
    assert opened == [Path(os.devnull)] * 3
