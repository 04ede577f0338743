"""Errors that hold more than a status can carry, or what no provider should have said."""

import math
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2 as standard
from grpc_health.v1.health_pb2_grpc import HealthStub

from llmproxy_grpc._gen.v1 import health_pb2, model_pb2
from llmproxy_grpc.errors import UpstreamRateLimited, UpstreamServerError
from tests.fakes.requests import chat_request, failure

LONGEST_STATUS = 4096
Code = grpc.StatusCode


@pytest.mark.parametrize("pictures", [1, 40, 20_000])
async def test_thousands_of_unsupported_fields_make_one_small_status_in_no_time(serve, pictures):
    config = {
        "providers": [{"name": "e", "kind": "echo"}],
        "models": [{"id": "assistant", "targets": [{"provider": "e", "model": "echo"}]}],
    }
    request = chat_request()
    for _ in range(pictures - 1):
        request.messages[0].parts.add().image.uri = "https://example.com/a.png"
    request.messages[0].parts[0].image.uri = "https://example.com/a.png"
    async with serve(config) as server:
        began = time.perf_counter()
        error = await failure(server.stub.Chat(request))
        assert time.perf_counter() - began < 5
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "UNSUPPORTED_PARAMETER")
    assert len(error.status.SerializeToString()) <= LONGEST_STATUS
    assert len(error.message.encode()) <= 512
    assert error.fields[0] == "messages[0].parts[0].image"


async def test_thousands_of_unknown_providers_make_one_small_status_in_no_time(serve):
    async with serve() as server:
        began = time.perf_counter()
        error = await failure(server.stub.Health(health_pb2.HealthRequest(providers=["nobody"] * 50_000)))
        assert time.perf_counter() - began < 2
    assert error.reason == "INVALID_REQUEST"
    assert len(error.status.SerializeToString()) <= LONGEST_STATUS


async def test_a_name_as_long_as_it_gets_leaves_the_status_small(serve):
    async with serve() as server:
        error = await failure(server.stub.GetModel(model_pb2.GetModelRequest(id="\U000e0fff" * 100_000)))
    assert error.reason == "MODEL_NOT_FOUND"
    assert len(error.message.encode()) <= 512
    assert len(error.status.SerializeToString()) <= LONGEST_STATUS


@pytest.mark.parametrize(
    ("wait", "pushback", "seconds"),
    [(1e19, "86400000", 86400), (math.inf, "86400000", 86400), (-5.0, "1", 0), (math.nan, "-1", 0), (0.5, "500", 0)],
)
async def test_an_absurd_wait_is_a_day_at_most(serve, wait, pushback, seconds):
    async with serve() as server:
        server.scripted.chats.append(UpstreamRateLimited("Slow down.", retry_after=wait))
        error = await failure(server.stub.Chat(chat_request()))
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "UPSTREAM_RATE_LIMITED")
    assert (error.pushback, error.retry_info.retry_delay.seconds) == (pushback, seconds)


async def test_an_error_that_cannot_be_written_keeps_its_code_and_tells_nothing(serve):
    async with serve() as server:
        server.scripted.chats.append(UpstreamServerError("test-secret \ud800"))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await server.stub.Chat(chat_request())
    assert raised.value.code() == Code.UNAVAILABLE
    assert raised.value.details() == "UPSTREAM_SERVER_ERROR"
    assert "x-request-id" in dict(raised.value.trailing_metadata())


async def test_a_model_whose_providers_do_not_exist_is_the_operators_trouble(serve):
    config = {"discovery": "auto", "models": [{"id": "assistant", "targets": [{"provider": "nowhere", "model": "m"}]}]}
    async with serve(config) as server:
        error = await failure(server.stub.Chat(chat_request()))
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "NO_PROVIDER_AVAILABLE")
        assert error.pushback == "1000"
        status = await HealthStub(server.channel).Check(standard.HealthCheckRequest(service="model/assistant"))
        assert status.status == standard.HealthCheckResponse.NOT_SERVING
        model = (await server.stub.GetModel(model_pb2.GetModelRequest(id="assistant"))).model
        assert model.status == model.targets[0].status == health_pb2.SERVING_STATUS_NOT_SERVING


async def test_an_error_of_the_standard_health_service_has_a_request_id(serve):
    async with serve() as server:
        check = HealthStub(server.channel).Check
        error = await failure(check(standard.HealthCheckRequest(service="x"), metadata=(("x-request-id", "my-id"),)))
        assert error.detail.request_id == error.trailers["x-request-id"] == "my-id"
        assert (await failure(check(standard.HealthCheckRequest(service="x")))).detail.request_id


async def test_a_watch_of_a_model_that_may_not_be_called_stays_open(serve):
    async with serve({"direct_models": False}) as server:
        watch = HealthStub(server.channel).Watch(standard.HealthCheckRequest(service="model/scripted/m"))
        assert (await watch.read()).status == standard.HealthCheckResponse.SERVICE_UNKNOWN
        assert not watch.done()
        watch.cancel()
