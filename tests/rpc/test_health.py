import asyncio
import math
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2 as standard
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from llmproxy_grpc._gen.v1 import error_pb2, health_pb2, model_pb2
from llmproxy_grpc.errors import UpstreamServerError
from tests.fakes.polling import until
from tests.fakes.requests import chat_request, failure

SERVING = standard.HealthCheckResponse.SERVING
NOT_SERVING = standard.HealthCheckResponse.NOT_SERVING
WATCH = 0.25
"""Seconds within which a watch tells a change; tests assert ten times the figure."""


async def break_provider(server, times: int = 3) -> None:
    for _ in range(times):
        server.scripted.chats.append(UpstreamServerError("It failed."))
        await failure(server.stub.Chat(chat_request()))


async def test_check_knows_the_names_of_the_contract(serve):
    async with serve() as server:
        stub = HealthStub(server.channel)
        for name in ("", "llmproxy.v1.LlmProxyService", "liveness", "provider/scripted", "model/assistant"):
            assert (await stub.Check(standard.HealthCheckRequest(service=name))).status == SERVING
        error = await failure(stub.Check(standard.HealthCheckRequest(service="provider/nobody")))
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")


async def test_three_failures_take_a_provider_down_but_never_the_server(serve):
    async with serve() as server:
        stub = HealthStub(server.channel)
        await break_provider(server)
        assert (await stub.Check(standard.HealthCheckRequest(service="provider/scripted"))).status == NOT_SERVING
        assert (await stub.Check(standard.HealthCheckRequest(service="model/assistant"))).status == NOT_SERVING
        assert (await stub.Check(standard.HealthCheckRequest())).status == SERVING
        health = await server.stub.Health(health_pb2.HealthRequest())
        assert health.status == health_pb2.SERVING_STATUS_DEGRADED
        assert health.providers[0].last_error == error_pb2.ERROR_REASON_UPSTREAM_SERVER_ERROR
        for _ in range(2):
            await server.stub.Chat(chat_request())
        assert (await stub.Check(standard.HealthCheckRequest(service="provider/scripted"))).status == SERVING


async def test_watch_tells_now_and_at_every_change(serve):
    async with serve() as server:
        watch = HealthStub(server.channel).Watch(standard.HealthCheckRequest(service="provider/scripted"))
        assert (await watch.read()).status == SERVING
        await break_provider(server)
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()


async def test_watch_of_an_unknown_name_stays_open(serve):
    async with serve() as server:
        watch = HealthStub(server.channel).Watch(standard.HealthCheckRequest(service="nobody"))
        assert (await watch.read()).status == standard.HealthCheckResponse.SERVICE_UNKNOWN
        assert not watch.done()
        watch.cancel()


async def test_list_names_everything_that_is_configured(serve):
    async with serve() as server:
        answer = await HealthStub(server.channel).List(standard.HealthListRequest())
        assert set(answer.statuses) == {
            "",
            "llmproxy.v1.LlmProxyService",
            "liveness",
            "provider/scripted",
            "model/assistant",
        }


async def test_health_shows_the_provider_and_what_it_learned(serve):
    async with serve() as server:
        await server.stub.Chat(chat_request())
        health = await server.stub.Health(health_pb2.HealthRequest(providers=["scripted"]))
        assert health.status == health_pb2.SERVING_STATUS_SERVING
        assert health.version == "0.1.0"
        assert health.start_time.seconds > 0
        provider = health.providers[0]
        assert (provider.kind, list(provider.models), provider.error_rate) == ("scripted", ["m"], 0.0)
        assert provider.HasField("last_success_time")
        assert health.load.admission_limit == 1024
        error = await failure(server.stub.Health(health_pb2.HealthRequest(providers=["x"])))
        assert error.fields == ["providers[0]"]


async def probed(server):
    """What a probe says, the one before being old news."""
    server.app._tracker._of("scripted").probed_at = -math.inf
    return await server.stub.Health(health_pb2.HealthRequest(probe=True))


async def test_whoever_wishes_for_probes_one_after_the_other_is_answered_from_the_last(serve):
    async with serve() as server:
        for _ in range(20):
            health = await server.stub.Health(health_pb2.HealthRequest(probe=True))
            assert health.providers[0].HasField("last_success_time")
        assert server.scripted.probes == 1


async def test_a_probe_asks_now(serve):
    async with serve() as server:
        server.scripted.probe_error = UpstreamServerError("It failed.")
        for _ in range(3):
            health = await probed(server)
        assert health.providers[0].status == health_pb2.SERVING_STATUS_NOT_SERVING
        server.scripted.probe_error = None
        for _ in range(2):
            health = await probed(server)
        assert health.providers[0].status == health_pb2.SERVING_STATUS_SERVING


async def test_models_are_listed_in_pages_by_id(serve):
    async with serve() as server:
        server.scripted.models[:] = [f"m{number}" for number in range(5)]
        await server.app._runtime.directory.refresh()
        first = await server.stub.ListModels(model_pb2.ListModelsRequest(page_size=4))
        rest = await server.stub.ListModels(model_pb2.ListModelsRequest(page_size=4, page_token=first.next_page_token))
        names = [model.id for model in [*first.models, *rest.models]]
        assert names == ["assistant", *(f"scripted/m{number}" for number in range(5))]
        assert rest.next_page_token == ""
        assert first.models[0].targets[0].upstream_model == "m"
        assert first.models[0].status == health_pb2.SERVING_STATUS_SERVING


async def test_wrong_questions_about_models_are_answered_by_field(serve):
    async with serve() as server:
        for request, field in (
            (model_pb2.ListModelsRequest(page_size=-1), "page_size"),
            (model_pb2.ListModelsRequest(page_token="%%"), "page_token"),
        ):
            assert (await failure(server.stub.ListModels(request))).fields == [field]
        error = await failure(server.stub.ListModels(model_pb2.ListModelsRequest(provider="x")))
        assert error.reason == "RESOURCE_NOT_FOUND"
        assert (await failure(server.stub.GetModel(model_pb2.GetModelRequest()))).fields == ["id"]
        error = await failure(server.stub.GetModel(model_pb2.GetModelRequest(id="nobody")))
        assert error.reason == "MODEL_NOT_FOUND"
        assert (await server.stub.GetModel(model_pb2.GetModelRequest(id="assistant"))).model.id == "assistant"


async def test_reflection_lists_the_services_and_can_be_switched_off(serve):
    async def services(server):
        stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]
        return {service.name for answer in answers for service in answer.list_services_response.service}

    async with serve() as server:
        assert {"llmproxy.v1.LlmProxyService", "grpc.health.v1.Health"} <= await services(server)
    async with serve({"grpc": {"listen": "127.0.0.1:0", "predrain": 0, "reflection": False}}) as server:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await services(server)
        assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_the_health_listener_serves_health_alone(serve):
    config = {"grpc": {"listen": "127.0.0.1:0", "health_listen": "127.0.0.1:0", "predrain": 0}}
    async with serve(config) as server:
        lines = [line.split()[1] for line in server.output.getvalue().splitlines() if line.startswith("health ")]
        async with grpc.aio.insecure_channel(lines[0]) as channel:
            assert (await HealthStub(channel).Check(standard.HealthCheckRequest())).status == SERVING
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await channel.unary_unary("/llmproxy.v1.LlmProxyService/ListModels")(b"")
            assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_thousand_questions_at_once_probe_nobody(serve):
    async with serve() as server:
        asked = health_pb2.HealthRequest()
        for _ in range(10):
            await asyncio.gather(*(server.stub.Health(asked) for _ in range(100)))
        assert server.scripted.probes == 0
        assert server.scripted.requests == []


async def test_a_thousand_wishes_to_probe_now_share_few_probes(serve):
    async with serve() as server:
        wish = health_pb2.HealthRequest(probe=True)
        begun, go = asyncio.Event(), asyncio.Event()

        async def probe():
            server.scripted.probes += 1
            begun.set()
            await go.wait()

        server.scripted.probe = probe
        calls = [server.stub.Health(wish) for _ in range(1000)]
        await begun.wait()
        await until(lambda: server.app._admission.in_flight.get("Health") == 1000, within=20)
        go.set()
        await asyncio.gather(*calls)
        assert server.scripted.probes == 1


async def test_a_provider_that_nobody_calls_is_probed_down_and_up_again(serve):
    async with serve({"health": {"interval": 0.05}}) as server:
        watch = HealthStub(server.channel).Watch(standard.HealthCheckRequest(service="provider/scripted"))
        assert (await watch.read()).status == SERVING
        server.scripted.probe_error = UpstreamServerError("It failed.")
        assert (await watch.read()).status == NOT_SERVING
        assert server.scripted.probes >= 3
        server.scripted.probe_error = None
        assert (await watch.read()).status == SERVING
        assert server.scripted.requests == []
        watch.cancel()


async def test_a_provider_with_calls_is_not_probed(serve):
    async with serve({"health": {"interval": 0.02}}) as server:
        await server.stub.Chat(chat_request())
        probed = server.scripted.probes
        for _ in range(20):
            await server.stub.Chat(chat_request())
            await asyncio.sleep(0.01)
        assert server.scripted.probes == probed


async def test_a_hundred_watches_are_told_of_a_change_soon(serve):
    async with serve() as server:
        stub = HealthStub(server.channel)
        name = standard.HealthCheckRequest(service="provider/scripted")
        watches = [stub.Watch(name) for _ in range(100)]
        for watch in watches:
            assert (await watch.read()).status == SERVING
        await break_provider(server)
        began = time.monotonic()
        assert {(await watch.read()).status for watch in watches} == {NOT_SERVING}
        assert time.monotonic() - began < WATCH * 10
        for watch in watches:
            watch.cancel()
