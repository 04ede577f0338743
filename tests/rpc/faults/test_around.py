"""What goes wrong around the proxy: names, lines, clocks, callers that vanish or repeat."""

import asyncio
import errno
import json
import os
import resource
import socket
import threading
import time
from functools import partial
from pathlib import Path

import aiohappyeyeballs
import grpc
import pytest

from llmproxy_grpc._gen.v1 import health_pb2
from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from llmproxy_grpc.config.manager import Reload
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, openai_answer, openai_stream
from tests.fakes.raw_call import raw_call
from tests.fakes.relay import Relay
from tests.fakes.requests import chat_request, failure, stream_request
from tests.rpc.conftest import USUAL, asking
from tests.rpc.faults.exchange import LIST, PATIENCE, SOON, Code, called, proxying, read_failure, said, well

AWAY = "away.invalid"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def names(monkeypatch):
    """The names of hosts, which are slow or unknown as a test says."""

    class Names:
        slow = False
        released = threading.Event()

    real = socket.getaddrinfo

    def look_up(host, *arguments, **named):
        if host in (AWAY, AWAY.encode()):
            if Names.slow:
                Names.released.wait(20)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield Names
    Names.released.set()


async def test_a_host_without_an_address_fails_over(serve, upstream, method, names):
    upstream.script(LIST, well("Hello", method))
    async with serve(asking(f"http://{AWAY}/v1", f"{upstream.url}/v1")) as server:
        answer = await said(called(server, method))
    assert answer.route.provider == "b"
    assert [attempt.reason for attempt in answer.route.failed_attempts] == [15]


async def test_looking_up_a_name_is_bounded_as_connecting_is(serve, upstream, method, names):
    names.slow = True
    upstream.script(LIST, well("Hello", method))
    async with serve(asking(f"http://{AWAY}/v1", f"{upstream.url}/v1", timeouts={"connect": PATIENCE})) as server:
        began = time.perf_counter()
        answer = await said(called(server, method))
        assert time.perf_counter() - began < PATIENCE * 10
        names.released.set()
    assert answer.route.provider == "b"


async def test_a_caller_that_vanishes_without_a_word_is_found_and_its_provider_let_go(serve, upstream, monkeypatch):
    monkeypatch.setattr("llmproxy_grpc.server.server.KEEPALIVE_MS", 300)
    monkeypatch.setattr("llmproxy_grpc.server.server.KEEPALIVE_TIMEOUT_MS", 300)
    async with proxying(serve, upstream) as server:
        upstream.script(Answer.stream([*openai_stream(["Hello"])[:2], Do.STALL]))
        async with (
            Relay(int(server.address.rpartition(":")[2])) as line,
            grpc.aio.insecure_channel(f"127.0.0.1:{line.port}") as channel,
        ):
            call = LlmProxyServiceStub(channel).Stream(stream_request(), timeout=25)
            await call.read()
            line.hold()
            async with asyncio.timeout(0.6 * 10):
                await upstream.requests[0].closed.wait()
            line.resume()
            call.cancel()


@pytest.fixture
def wall(monkeypatch):
    """The wall clock, which jumps by so many hours as a test says; whoever is handed it gets this one too."""

    class Wall:
        hours = 0

    seconds, nanoseconds = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: seconds() + Wall.hours * 3_600)
    monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() + Wall.hours * 3_600 * 10**9)
    return Wall


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_wall_clock_that_jumps_ends_nothing_early_or_late(serve, upstream, wall, hours):
    begin, end = openai_stream(["Hello"])[:2], openai_stream(["Hello"])[2:]
    async with proxying(serve, upstream) as server:
        upstream.script(Answer.stream([0.2, *begin, 0.2, *end]))
        call = called(server, "Stream", first_token=3)
        await upstream.arrived()
        wall.hours += hours
        await call.read()
        wall.hours += hours
        events = []
        while (event := await call.read()) is not grpc.aio.EOF:
            events.append(event)
        assert events[-1].HasField("end")
        # gRPC makes a caller's deadline of the wall clock, which jumps for it alone here: no more deadlines.
        upstream.script(Answer.stream([*begin, Do.STALL]), well("Hi", "Chat"))
        call = called(server, "Stream", timeout=None, first_token=PATIENCE)
        await call.read()
        wall.hours += hours
        async with asyncio.timeout(PATIENCE * 10):
            assert (await read_failure(call)).info.metadata["limit"] == "idle"
        assert (await said(called(server, "Chat", timeout=None))).text == "Hi"
    async with proxying(serve, upstream, timeouts={"unary": 4 * PATIENCE}) as server:
        upstream.script(Answer(before_head=[Do.STALL]))
        call = called(server, "Chat", timeout=None)
        await upstream.arrived()
        wall.hours += hours
        async with asyncio.timeout(40 * PATIENCE):
            assert (await failure(call)).reason == "DEADLINE_EXCEEDED"


async def test_a_file_that_is_half_written_never_takes_a_model_away(serve):
    async with serve() as server:
        whole = json.dumps({**USUAL, "default_model": "assistant"})
        for length in range(0, len(whole), 7):
            server.config_file.write_text(whole[:length])
            assert await server.app._manager.reload() in (Reload.REJECTED, Reload.UNCHANGED)
            assert (await server.stub.Chat(chat_request(model="assistant"), timeout=20)).candidates
        server.config_file.write_text(whole)
        assert await server.app._manager.reload() is Reload.APPLIED


async def test_a_callers_own_retries_do_not_multiply_ours(serve, method):
    policy = {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.01s",
                    "maxBackoff": "0.01s",
                    "backoffMultiplier": 1,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
    async with FaultyUpstream() as a, FaultyUpstream() as b, proxying(serve, a, b) as server:
        for each in (a, b):
            each.default = Answer.json(b"{}", status=503)
        options = [("grpc.service_config", json.dumps(policy))]
        async with grpc.aio.insecure_channel(server.address, options=options) as channel:
            request = stream_request() if method == "Stream" else chat_request()
            error = await failure(getattr(LlmProxyServiceStub(channel), method)(request, timeout=20))
        assert error.code is Code.UNAVAILABLE
        assert len(a.requests) + len(b.requests) <= 3


@pytest.mark.parametrize(("previous", "most"), [("0", 3), ("1", 2), ("2", 1), ("9", 1)])
async def test_a_call_that_its_caller_has_repeated_gets_fewer_attempts(serve, upstream, method, previous, most):
    """What is no number never comes here: gRPC ends such a call itself."""
    async with proxying(serve, upstream, retries={"max_attempts": 3}) as server:
        upstream.default = Answer.json(b"{}", status=500)
        request = stream_request() if method == "Stream" else chat_request()
        previously = {"grpc-previous-rpc-attempts": previous}
        async with asyncio.timeout(20):
            await raw_call(
                server.address, f"/llmproxy.v1.LlmProxyService/{method}", request.SerializeToString(), previously
            )
        assert len(upstream.requests) == most


async def test_a_slow_and_bumpy_line_is_no_failure(serve, upstream):
    upstream.script(LIST)
    async with (
        Relay(upstream.port, latency=0.004, chop=200) as line,
        serve(asking(f"http://127.0.0.1:{line.port}/v1")) as server,
    ):
        await upstream.arrived()
        upstream.handler = lambda request: well("Hello " * 20, "Stream" if b'"stream":true' in request.body else "")
        answers = await asyncio.gather(*(said(called(server, method)) for method in ("Chat", "Stream") * 12))
    assert {answer.text for answer in answers} == {"Hello " * 20}
    assert not any(answer.route.failed_attempts for answer in answers)


async def test_more_connections_than_files_are_no_end_of_the_server(serve):
    """Connections beyond the limit of open files wait or fail; those that are there go on, and room is used again."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serve() as server:
        assert (await server.stub.Chat(chat_request(), timeout=20)).candidates
        target = server.address.rpartition(":")
        held = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 20, before[1]))
        try:
            try:
                while len(held) < 100:
                    held.append(socket.create_connection((target[0], int(target[2])), timeout=1))
            except OSError:
                pass  # our own files are used up as well: the server is this very process
            for number in range(2, 7):
                began = time.perf_counter()
                answer = await server.stub.Chat(chat_request(), timeout=20)
                assert time.perf_counter() - began < SOON
                assert answer.candidates
                assert not answer.route.failed_attempts
                assert len(server.scripted.requests) == number
        finally:
            for each in held:
                each.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = LlmProxyServiceStub(channel)
            assert (await stub.Chat(chat_request(), timeout=20, wait_for_ready=True)).candidates


async def test_without_a_file_for_a_connection_the_proxy_is_overloaded_and_no_circuit_opens(
    serve, upstream, method, monkeypatch
):
    async def nothing_left(**_arguments: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with proxying(serve, upstream, breaker={}) as server:
        request = stream_request() if method == "Stream" else chat_request()
        call = partial(getattr(server.stub, method), request, timeout=20)
        upstream.script(Answer(body=[openai_answer("Hello"), Do.EOF]))
        await server.stub.Chat(chat_request(), timeout=20)
        with monkeypatch.context() as patched:
            patched.setattr(aiohappyeyeballs, "start_connection", nothing_left)
            for _ in range(10):
                began = time.perf_counter()
                error = await failure(call())
                assert (error.code, error.reason, error.pushback) == (Code.UNAVAILABLE, "PROXY_OVERLOADED", "1000")
                assert [each.reason for each in error.detail.attempts] == [error.detail.reason]
                assert time.perf_counter() - began < SOON
        assert len(upstream.requests) == 1
        (provider,) = (await server.stub.Health(health_pb2.HealthRequest())).providers
        assert provider.circuit == health_pb2.CIRCUIT_STATE_CLOSED
        assert not provider.HasField("last_failure_time")
        upstream.script(well("Hello", method))
        assert (await said(call())).text == "Hello"
