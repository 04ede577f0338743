import asyncio
import time
from functools import partial

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from llmproxy_grpc._gen.v1 import chat_pb2, export_pb2, health_pb2
from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from llmproxy_grpc.errors import CredentialsRejected, Fault, UpstreamQuotaExhausted
from llmproxy_grpc.server.interceptors.errors import errors
from llmproxy_grpc.server.interceptors.request_id import request_id
from llmproxy_grpc.server.rpc import Door
from llmproxy_grpc.server.service import proxy_service
from llmproxy_grpc.telemetry.loop_lag import LoopLag
from llmproxy_grpc.telemetry.memory import Memory
from tests.fakes.polling import until
from tests.fakes.requests import broken_off, chat_request, failure, stream_request
from tests.fakes.scripted_provider import answer

SECRET = "test-secret-that-must-not-leak"


async def test_no_exception_text_ever_reaches_a_caller(serve):
    async with serve() as server:
        server.scripted.chats.append(RuntimeError(SECRET))
        server.scripted.streams.append([RuntimeError(SECRET)])
        for call in (server.stub.Chat(chat_request()), server.stub.Stream(stream_request())):
            error = await failure(call)
            assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
            assert SECRET not in error.message
            assert SECRET.encode() not in error.status.SerializeToString()
            assert error.detail.request_id


async def test_a_cancellation_that_nobody_asked_for_is_answered_at_once(serve):
    async with serve() as server:
        server.scripted.chats.append(_cancel_itself)
        error = await failure(server.stub.Chat(chat_request(), timeout=20))
        assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        assert (await server.stub.Chat(chat_request())).model == "assistant"


@pytest.mark.parametrize("batches", [0, 1, 2], ids=["before any output", "behind the start", "behind the first output"])
@pytest.mark.parametrize("options", [{}, {"inband_error": True}, {"heartbeat": Duration(seconds=5)}], ids=str)
async def test_a_stream_cancelled_by_nobody_is_answered_at_once_and_has_no_end(serve, batches, options):
    async with serve() as server:
        server.scripted.streams.append([*answer()[:batches], _cancel_itself])
        events, error = await broken_off(server.stub.Stream(stream_request(**options), timeout=20))
        assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        assert "end" not in [event.WhichOneof("event") for event in events]
        assert [event.delta.text for event in events if event.HasField("delta")] == ["Hello"][: max(0, batches - 1)]
        async for event in server.stub.Stream(stream_request()):
            last = event
        assert last.HasField("end")


async def _cancel_itself() -> None:
    raise asyncio.CancelledError


async def test_every_wrong_field_is_named_at_once(serve):
    async with serve() as server:
        request = chat_pb2.ChatRequest()
        request.generation.temperature = float("nan")
        request.generation.max_output_tokens = -1
        error = await failure(server.stub.Chat(request))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert {"model", "messages", "generation.temperature", "generation.max_output_tokens"} <= set(error.fields)
        error = await failure(server.stub.Stream(chat_pb2.StreamRequest(chat=request)))
        assert "chat.generation.temperature" in error.fields
        assert (await failure(server.stub.Stream(chat_pb2.StreamRequest()))).fields == ["chat"]


async def test_a_status_stays_below_four_kibibytes(serve):
    async with serve() as server:
        request = chat_request()
        for _ in range(200):
            request.messages.add()
        error = await failure(server.stub.Chat(request))
        assert len(error.status.SerializeToString()) <= 4096
        assert len(error.fields) > 10


async def test_corrupt_bytes_are_an_invalid_request(serve):
    async with serve() as server:
        call = server.channel.unary_unary("/llmproxy.v1.LlmProxyService/Chat")
        error = await failure(call(b"\xff\xff\xff"))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


@pytest.mark.parametrize("field", ["idempotency_key", "cache"])
async def test_fields_of_features_to_come_are_refused_by_path(serve, field):
    values = {"idempotency_key": "k", "cache": chat_pb2.CACHE_POLICY_BYPASS}
    async with serve() as server:
        request = chat_request()
        setattr(request, field, values[field])
        error = await failure(server.stub.Chat(request))
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FEATURE_DISABLED")
        assert error.fields == [field]


async def test_methods_without_a_servicer_say_so():
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([proxy_service(Door([errors, request_id]), {})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        error = await failure(LlmProxyServiceStub(channel).Export(export_pb2.ExportRequest()))
    await server.stop(None)
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_IMPLEMENTED")


async def test_an_unknown_model_is_not_found(serve):
    async with serve() as server:
        error = await failure(server.stub.Chat(chat_request(model="nobody")))
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        assert error.info.domain == "llmproxy"
        assert error.info.metadata["model"] == "nobody"


async def test_a_rejected_credential_of_ours_is_not_the_callers_fault(serve):
    async with serve() as server:
        fault = Fault(http_status=401, code="invalid_api_key")
        server.scripted.chats.append(CredentialsRejected("The provider refuses our credential.", fault=fault))
        error = await failure(server.stub.Chat(chat_request()))
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED")
        assert error.pushback == "-1"
        assert (error.detail.provider, error.detail.upstream_http_status) == ("scripted", 401)
        assert len(error.detail.attempts) == len(server.scripted.requests) == 1


async def test_a_spent_quota_names_the_provider(serve):
    async with serve() as server:
        server.scripted.chats.append(UpstreamQuotaExhausted("No credit is left."))
        error = await failure(server.stub.Chat(chat_request()))
        assert (error.code, error.pushback) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "-1")


async def test_admission_refuses_what_is_too_much_and_tells_when_to_come_back(serve):
    async with serve({"grpc": {"listen": "127.0.0.1:0", "predrain": 0, "max_in_flight": 1}}) as server:
        server.scripted.streams.append([_forever])
        first = server.stub.Stream(stream_request())
        await until(lambda: server.scripted.requests)
        error = await failure(server.stub.Stream(stream_request()))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "PROXY_OVERLOADED")
        assert error.pushback == "1000"
        await server.stub.Chat(chat_request())
        first.cancel()


async def test_a_server_whose_memory_is_full_refuses_everything_but_health(serve, monkeypatch):
    level = 0.99
    monkeypatch.setattr(Memory, "level", lambda _self: level)
    async with serve() as server:
        await until(lambda: server.app._pressure.cause)
        for call in (server.stub.Chat(chat_request()), server.stub.Stream(stream_request())):
            began = time.monotonic()
            error = await failure(call)
            assert time.monotonic() - began < 1
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "PROXY_OVERLOADED")
            assert (error.info.metadata["cause"], error.pushback) == ("memory", "1000")
            assert len(error.detail.attempts) == 0
        await server.stub.Health(health_pb2.HealthRequest())
        assert server.scripted.requests == []
        level = 0.5
        await until(lambda: server.app._pressure.cause == "")
        assert not (await server.stub.Chat(chat_request())).route.failed_attempts
        assert len(server.scripted.requests) == 1


async def test_a_server_whose_event_loop_is_late_all_the_time_refuses_all_but_the_most_critical(serve, monkeypatch):
    """The clock by which it measures itself runs ten times too fast, so that each tick is 0.9 s late."""
    monkeypatch.setattr("llmproxy_grpc.app.LoopLag", partial(LoopLag, clock=lambda: 10 * time.monotonic()))
    async with serve() as server:
        await server.stub.Chat(chat_request())
        await until(lambda: server.app._pressure.cause, within=20)
        error = await failure(server.stub.Chat(chat_request()))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "PROXY_OVERLOADED")
        assert error.info.metadata["cause"] == "loop_lag"
        await server.stub.Health(health_pb2.HealthRequest())
        assert len(server.scripted.requests) == 1


async def test_a_call_waits_a_moment_for_a_slot(serve):
    grpc_section = {"listen": "127.0.0.1:0", "predrain": 0, "max_in_flight": 1}
    async with serve({"grpc": grpc_section, "shedding": {"wait": 20}}) as server:
        go = asyncio.Event()
        server.scripted.chats.append(go.wait)
        calls = [asyncio.ensure_future(server.stub.Chat(chat_request()))]
        await until(lambda: server.scripted.requests)
        calls.append(asyncio.ensure_future(server.stub.Chat(chat_request())))
        await until(lambda: server.app._admission._gates["Chat"].waiting == 1)
        go.set()
        await asyncio.gather(*calls)
        assert len(server.scripted.requests) == 2


async def _forever() -> None:
    await asyncio.Event().wait()
