"""Circuits, rests and credentials as callers and operators see them."""

import json
import time

import grpc
import pytest

from llmproxy_grpc._gen.v1 import health_pb2
from llmproxy_grpc.errors import UpstreamServerError, UpstreamStreamBroken
from llmproxy_grpc.messages import TextDelta, UpstreamStart
from tests.fakes.faulty_upstream import Answer, FaultyUpstream
from tests.fakes.http import get
from tests.fakes.polling import until
from tests.fakes.requests import chat_request, failure, stream_request
from tests.fakes.scripted_provider import ScriptedProvider
from tests.rpc.conftest import asking
from tests.rpc.faults.exchange import LIST, proxying, well
from tests.rpc.test_chat import TWO, two

QUICK = {"consecutive_failures": 3}


async def ask(server, method="Chat"):
    return server.stub.Chat(chat_request()) if method == "Chat" else server.stub.Stream(stream_request())


async def states(server) -> dict[str, str]:
    health = await server.stub.Health(health_pb2.HealthRequest())
    return {each.provider: health_pb2.CircuitState.Name(each.circuit) for each in health.providers}


async def shown(server, provider: str) -> set[str]:
    lines = (await get(server.http, "/metrics"))[1].splitlines()
    wanted = f'llmproxy_circuit_state{{provider="{provider}",state="'
    return {
        line.removeprefix(wanted).split('"')[0] for line in lines if line.startswith(wanted) and line.endswith("1.0")
    }


@pytest.mark.parametrize("method", ["Chat", "Stream"])
async def test_an_open_circuit_answers_at_once_and_says_when_to_come_again(serve, method):
    async with serve({"breaker": QUICK}) as server:
        server.scripted.chats.extend([UpstreamServerError("It failed.")] * 3)
        server.scripted.streams.extend([[UpstreamServerError("It failed.")]] * 3)
        for _ in range(3):
            assert (await failure(await ask(server, method))).reason == "UPSTREAM_SERVER_ERROR"
        error = await failure(await ask(server, method))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_PROVIDER_AVAILABLE")
        assert int(error.pushback) == 1000  # when the next trial is due
        assert error.detail.provider == "scripted"
        assert len(error.detail.attempts) == 0
        assert len(server.scripted.requests) == 3
        assert await states(server) == {"scripted": "CIRCUIT_STATE_OPEN"}
        await until(lambda: _is_shown(server, "open"))


async def _is_shown(server, state: str) -> bool:
    return await shown(server, "scripted") == {state}


async def test_the_only_target_is_tried_every_second_and_serves_again(serve):
    async with serve({"breaker": {**QUICK, "open": "60s", "max_open": "60s"}}) as server:
        server.scripted.chats.extend([UpstreamServerError("It failed.")] * 5)
        for _ in range(3):
            await failure(await ask(server))
        began = time.monotonic()

        async def answered() -> bool:
            try:
                await (await ask(server))
            except grpc.aio.AioRpcError:
                return False
            return True

        await until(answered, within=20)  # at the third trial: the first two find it failing
        assert 2.8 < time.monotonic() - began < 8
        assert len(server.scripted.requests) == 6
        assert await states(server) == {"scripted": "CIRCUIT_STATE_HALF_OPEN"}
        await until(answered)
        await until(answered)
        assert await states(server) == {"scripted": "CIRCUIT_STATE_CLOSED"}
        await until(lambda: _is_shown(server, "closed"))


async def test_streams_that_break_after_their_first_token_open_the_circuit(serve):
    broken = [[UpstreamStart("u")], [TextDelta(text="a")], UpstreamStreamBroken("It broke.")]
    async with serve({**TWO, "breaker": QUICK}, providers=two()) as server:
        server.providers["a"].streams.extend([broken] * 3)
        for _ in range(3):
            assert (await failure(await ask(server, "Stream"))).reason == "UPSTREAM_STREAM_BROKEN"
        assert await states(server) == {"a": "CIRCUIT_STATE_OPEN", "b": "CIRCUIT_STATE_CLOSED"}
        async for _ in await ask(server, "Stream"):
            pass
        assert len(server.providers["b"].requests) == 1


async def test_a_reload_keeps_the_circuits_of_providers_that_stay(serve):
    async with serve({"breaker": QUICK}) as server:
        server.scripted.chats.extend([UpstreamServerError("It failed.")] * 3)
        for _ in range(3):
            await failure(await ask(server))
        before = server.app._runtime
        text = server.config_file.read_text()
        server.config_file.write_text(text.replace('"assistant"', '"helper"', 1))
        await server.app._manager.reload()
        assert server.app._runtime is not before
        assert await states(server) == {"scripted": "CIRCUIT_STATE_OPEN"}


async def test_another_limit_of_calls_in_flight_forgets_no_circuit(serve):
    async with serve({"breaker": QUICK}) as server:
        server.scripted.chats.extend([UpstreamServerError("It failed.")] * 3)
        for _ in range(3):
            await failure(await ask(server))
        config = json.loads(server.config_file.read_text())
        config["providers"][0]["max_in_flight"] = 7
        server.config_file.write_text(json.dumps(config))
        await server.app._manager.reload()
        assert server.app._runtime.concurrency.limit("scripted") == 7
        assert await states(server) == {"scripted": "CIRCUIT_STATE_OPEN"}


async def test_a_reload_gives_no_budget_of_retries_anew(serve):
    async with serve({"retries": {"max_attempts": 3}}) as server:
        server.scripted.chats.extend([UpstreamServerError("It failed.")] * 60)

        async def attempts(calls: int) -> int:
            before = len(server.scripted.requests)
            for _ in range(calls):
                await failure(await ask(server))
            return len(server.scripted.requests) - before

        assert await attempts(10) == 17  # the start of the budget pays for seven
        for budget in (0.1, 0.11):
            config = json.loads(server.config_file.read_text())
            config["retries"]["budget_ratio"] = budget
            config["providers"][0]["api_key"] = f"key-{budget}"
            server.config_file.write_text(json.dumps(config))
            await server.app._manager.reload()
            assert await attempts(5) <= 6


def rotating(upstream: FaultyUpstream) -> dict:
    config = asking(f"{upstream.url}/v1")
    del config["providers"][0]["api_key"]
    config["providers"][0]["api_keys"] = ["key-one-1", "key-two-2", "key-three-3"]
    return {**config, "retries": {"max_attempts": 3}}


def used(upstream: FaultyUpstream) -> list[str]:
    return [request.headers["authorization"].removeprefix("Bearer ") for request in upstream.requests]


@pytest.mark.parametrize(("status", "headers"), [(401, {}), (403, {}), (429, {"retry-after": "30"})])
@pytest.mark.parametrize("method", ["Chat", "Stream"])
async def test_a_key_that_is_refused_or_limited_is_left_alone_and_the_others_serve(serve, status, headers, method):
    async with FaultyUpstream() as upstream:
        upstream.script(LIST)
        async with serve(rotating(upstream)) as server:
            await upstream.arrived()
            upstream.requests.clear()
            upstream.script(Answer.json(b"{}", status=status, headers=headers))
            upstream.handler = lambda _request: well("Hello", method)
            for _ in range(6):
                call = await ask(server, method)
                if method == "Chat":
                    await call
                else:
                    [event async for event in call]
            first, *others = used(upstream)
            assert len(others) == 6
            assert set(others) == {"key-one-1", "key-two-2", "key-three-3"} - {first}


async def test_when_every_key_is_refused_callers_are_told_at_once(serve):
    async with FaultyUpstream() as upstream:
        upstream.script(LIST)
        async with serve(rotating(upstream)) as server:
            await upstream.arrived()
            upstream.requests.clear()
            upstream.handler = lambda _request: Answer.json(b"{}", status=401)
            for _ in range(4):
                error = await failure(await ask(server))
                assert (error.code, error.reason) == (
                    grpc.StatusCode.FAILED_PRECONDITION,
                    "UPSTREAM_CREDENTIALS_REJECTED",
                )
            assert sorted(used(upstream)) == ["key-one-1", "key-three-3", "key-two-2"]


async def test_a_provider_that_lacks_turns_has_one_credential(serve):
    async with serve(providers={"scripted": ScriptedProvider()}) as server:
        await server.stub.Chat(chat_request())
        line = next(iter(server.app._runtime.circuits._lines.values()))
        assert len(line.circuits) == 1


@pytest.mark.parametrize("method", ["Chat", "Stream"])
async def test_a_call_that_a_model_gets_wrong_is_the_next_targets_and_opens_no_circuit(serve, method):
    wrong = (
        b'{"error":{"message":"Failed to call a function.","type":"invalid_request_error","code":"tool_use_failed"}}'
    )
    async with (
        FaultyUpstream() as one,
        FaultyUpstream() as other,
        proxying(serve, one, other, breaker=QUICK, retries={"budget_ratio": 0}) as server,
    ):
        one.handler = lambda _request: Answer.json(wrong, status=400)
        other.handler = lambda _request: well("Hello", method)
        for _ in range(15):
            call = await ask(server, method)
            if method == "Chat":
                await call
            else:
                [event async for event in call]
        assert (len(one.requests), len(other.requests)) == (15, 15)
        assert await states(server) == {"a": "CIRCUIT_STATE_CLOSED", "b": "CIRCUIT_STATE_CLOSED"}
        other.handler = one.handler
        error = await failure(await ask(server, method))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert len(error.detail.attempts) == 2
