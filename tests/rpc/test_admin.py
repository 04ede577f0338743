"""Operators take providers out of service while calls run, and put them back."""

import asyncio
import json
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2 as standard
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from llmproxy_grpc._gen.admin.v1 import provider_pb2 as admin
from llmproxy_grpc._gen.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from llmproxy_grpc._gen.v1 import error_pb2, health_pb2, model_pb2
from llmproxy_grpc.errors import UpstreamServerError
from tests.fakes.polling import until
from tests.fakes.requests import broken_off, chat_request, failure, stream_request
from tests.fakes.scripted_provider import ScriptedProvider, answer, never
from tests.rpc.test_embed import embed_request
from tests.rpc.test_hedging import text

LISTENING = {"admin": {"listen": "127.0.0.1:0"}}
TWO = {
    **LISTENING,
    "providers": [{"name": name, "kind": "scripted"} for name in "ab"],
    "models": [{"id": "assistant", "targets": [{"provider": name, "model": "m"} for name in "ab"]}],
}
Code = grpc.StatusCode


class Operated:
    """A server, and what an operator asks of it."""

    def __init__(self, server, channel):
        self.server = server
        self.stub = AdminServiceStub(channel)
        self.channel = channel
        self.provider = server.providers

    async def disable(self, name, note=""):
        return (await self.stub.DisableProvider(admin.DisableProviderRequest(name=name, note=note))).provider

    async def drain(self, name):
        return (await self.stub.DrainProvider(admin.DrainProviderRequest(name=name))).provider

    async def enable(self, name):
        return (await self.stub.EnableProvider(admin.EnableProviderRequest(name=name))).provider

    async def get(self, name):
        return (await self.stub.GetProvider(admin.GetProviderRequest(name=name))).provider

    async def chat(self, model="assistant"):
        """Which provider answers."""
        return (await self.server.stub.Chat(chat_request(model=model))).route.provider

    async def reload(self, config):
        self.server.config_file.write_text(json.dumps({**json.loads(self.server.config_file.read_text()), **config}))
        await self.server.app._manager.reload()


@pytest.fixture
def operated(serve):
    @asynccontextmanager
    async def open_(config=TWO, **arguments):
        scripted = {name: ScriptedProvider(name) for name in "ab"}
        async with serve(config, providers=scripted, **arguments) as server:
            address = next(line for line in server.output.getvalue().splitlines() if line.startswith("admin "))
            async with grpc.aio.insecure_channel(address.removeprefix("admin ")) as channel:
                yield Operated(server, channel)

    return open_


async def test_a_disabled_provider_gets_no_call_until_it_is_enabled(operated):
    async with operated() as it:
        assert await it.chat() == "a"
        shown = await it.disable("a", note="it lies")
        assert (shown.state, shown.configured_state) == (admin.PROVIDER_STATE_DISABLED, admin.PROVIDER_STATE_ENABLED)
        assert (shown.note, shown.kind, shown.serving) == ("it lies", "scripted", True)
        assert shown.HasField("change_time")
        assert await it.chat() == "b"
        await it.enable("a")
        assert await it.chat() == "a"


async def test_without_another_provider_the_error_names_the_one_and_direct_models_have_none(operated):
    async with operated() as it:
        await it.disable("b")
        error = await failure(it.server.stub.Chat(chat_request(model="b/m")))
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "NO_PROVIDER_AVAILABLE")
        assert error.info.metadata["providers"] == "b"
        assert int(error.pushback) > 0
        await it.drain("a")
        error = await failure(it.server.stub.Stream(stream_request()))
        assert (error.reason, error.info.metadata["providers"]) == ("NO_PROVIDER_AVAILABLE", "a, b")
        assert it.provider["a"].requests == it.provider["b"].requests == []


async def test_counting_goes_on_by_estimate(operated):
    async with operated() as it:
        await it.disable("a")
        await it.disable("b")
        counted = await it.server.stub.CountTokens(model_pb2.CountTokensRequest(chat=chat_request()))
        assert counted.input_tokens > 0
        assert it.provider["a"].count_requests == []


async def test_draining_lets_what_runs_finish(operated):
    async with operated() as it:
        go = asyncio.Event()
        it.provider["a"].streams.append([*answer()[:2], go.wait, *answer()[2:]])
        call = it.server.stub.Stream(stream_request())
        await call.read()
        shown = await it.drain("a")
        assert (shown.state, shown.in_flight) == (admin.PROVIDER_STATE_DRAINING, 1)
        assert await it.chat() == "b"
        go.set()
        last = None
        while (event := await call.read()) is not grpc.aio.EOF:
            last = event
        assert last.HasField("end")
        await until(lambda: it.server.app._tracker.in_flight("a") == 0)
        assert (await it.get("a")).in_flight == 0


async def test_disabling_ends_a_stream_that_has_begun_and_nothing_else(operated):
    async with operated() as it:
        it.provider["a"].streams.append([*answer()[:2], never])
        go = asyncio.Event()
        it.provider["b"].chats.append(go.wait)
        stream = it.server.stub.Stream(stream_request())
        await stream.read()
        other = it.server.stub.Chat(chat_request(model="b/m"))
        await until(lambda: it.provider["b"].requests)
        await it.disable("a")
        _, error = await broken_off(stream)
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "NO_PROVIDER_AVAILABLE")
        assert error.info.metadata["providers"] == "a"
        assert error.detail.output_started
        assert error.detail.partial_usage.output_tokens > 0
        await until(lambda: it.provider["a"].cancelled == 1)
        go.set()
        assert (await other).route.provider == "b"


async def test_disabling_moves_what_has_said_nothing_yet_to_another_target(operated):
    async with operated() as it:
        it.provider["a"].streams.append([answer()[0], never])
        it.provider["a"].chats.append(never)
        it.provider["a"].embeds.append(never)
        calls = (
            it.server.stub.Chat(chat_request()),
            it.server.stub.Embed(embed_request("x")),
            it.server.stub.Stream(stream_request()),
        )
        reading = asyncio.ensure_future(text(calls[2]))
        await until(lambda: len(it.provider["a"].requests) == 2 and it.provider["a"].embed_requests)
        await it.disable("a")
        chat, vectors = await calls[0], await calls[1]
        assert await reading == "Hello there"
        assert (chat.route.provider, vectors.route.provider) == ("b", "b")
        (left,) = chat.route.failed_attempts
        assert (left.provider, left.reason) == ("a", error_pb2.ERROR_REASON_NO_PROVIDER_AVAILABLE)
        assert left.HasField("usage")  # it may have to be paid for
        assert it.provider["a"].cancelled == 3


async def test_disabling_the_only_target_ends_the_call(operated):
    async with operated() as it:
        it.provider["a"].chats.append(never)
        ending = asyncio.ensure_future(failure(it.server.stub.Chat(chat_request(model="a/m"))))
        await until(lambda: it.provider["a"].requests)
        await it.disable("a")
        error = await ending
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "NO_PROVIDER_AVAILABLE")
        assert (error.info.metadata["providers"], error.pushback) == ("a", "1000")


async def test_a_call_does_not_turn_to_what_was_disabled_meanwhile(operated):
    async with operated() as it:

        async def fail():
            await it.disable("b")
            raise UpstreamServerError("It failed.")

        it.provider["a"].chats.append(fail)
        assert await it.chat() == "a"
        assert it.provider["b"].requests == []


async def test_what_is_switched_survives_a_reload_unless_that_changes_the_key(operated):
    async with operated() as it:
        await it.disable("a")
        await it.reload({"retries": {"max_attempts": 2}})
        assert await it.chat() == "b"
        await it.reload(
            {"providers": [{"name": "a", "kind": "scripted"}, {"name": "b", "kind": "scripted", "state": "disabled"}]}
        )
        error = await failure(it.server.stub.Chat(chat_request()))
        assert error.info.metadata["providers"] == "a, b"
        await it.reload(
            {"providers": [{"name": "a", "kind": "scripted", "state": "draining"}, {"name": "b", "kind": "scripted"}]}
        )
        assert await it.chat() == "b"
        await it.reload({"providers": [{"name": name, "kind": "scripted"} for name in "ab"]})
        assert await it.chat() == "a"


async def test_the_configuration_can_begin_with_a_provider_out_of_service(operated):
    providers = [{"name": "a", "kind": "scripted", "state": "disabled"}, {"name": "b", "kind": "scripted"}]
    async with operated({**TWO, "providers": providers}) as it:
        assert await it.chat() == "b"
        assert (await it.get("a")).configured_state == admin.PROVIDER_STATE_DISABLED
        await it.enable("a")
        assert await it.chat() == "a"


async def test_health_shows_it_and_watches_are_told(operated):
    async with operated() as it:
        stub = HealthStub(it.server.channel)
        watch = stub.Watch(standard.HealthCheckRequest(service="provider/a"))
        assert (await watch.read()).status == standard.HealthCheckResponse.SERVING
        await it.drain("a")
        assert (await watch.read()).status == standard.HealthCheckResponse.NOT_SERVING
        health = await it.server.stub.Health(health_pb2.HealthRequest())
        assert health.status == health_pb2.SERVING_STATUS_SERVING
        assert health.providers[0].status == health_pb2.SERVING_STATUS_DRAINING
        models = await it.server.stub.ListModels(model_pb2.ListModelsRequest(provider="a"))
        assert models.models[0].targets[0].status == health_pb2.SERVING_STATUS_NOT_SERVING
        for name in ("", "model/assistant"):
            assert (await stub.Check(standard.HealthCheckRequest(service=name))).status == 1
        watch.cancel()


async def test_a_provider_out_of_service_is_not_probed(operated):
    async with operated({**TWO, "health": {"interval": 0.05}}) as it:
        await it.disable("a")
        await until(lambda: it.provider["b"].probes >= 1)
        seen = it.provider["a"].probes
        at = it.provider["b"].probes
        await until(lambda: it.provider["b"].probes >= at + 3)
        assert it.provider["a"].probes == seen


async def test_providers_are_listed_in_pages_by_name(operated):
    async with operated() as it:
        first = await it.stub.ListProviders(admin.ListProvidersRequest(page_size=1))
        rest = await it.stub.ListProviders(admin.ListProvidersRequest(page_token=first.next_page_token))
        assert [each.name for each in (*first.providers, *rest.providers)] == ["a", "b"]
        assert rest.next_page_token == ""


async def test_wrong_questions_are_answered_richly(operated):
    async with operated() as it:
        for request, field in (
            (it.stub.ListProviders(admin.ListProvidersRequest(page_size=-1)), "page_size"),
            (it.stub.GetProvider(admin.GetProviderRequest()), "name"),
            (it.stub.DrainProvider(admin.DrainProviderRequest(name="a", note="x" * 257)), "note"),
            (it.stub.DrainProvider(admin.DrainProviderRequest(name="a", note="two\nlines")), "note"),
        ):
            assert (await failure(request)).fields == [field]
        error = await failure(it.stub.DisableProvider(admin.DisableProviderRequest(name="nobody")))
        assert (error.code, error.reason) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
        assert error.message == "There is no provider 'nobody'."
        assert await it.chat() == "a"


async def test_the_operators_api_has_its_own_listener_and_description(operated):
    async with operated() as it:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await AdminServiceStub(it.server.channel).ListProviders(admin.ListProvidersRequest())
        assert raised.value.code() == Code.UNIMPLEMENTED
        with pytest.raises(grpc.aio.AioRpcError):
            await it.channel.unary_unary("/llmproxy.v1.LlmProxyService/ListModels")(b"")
        stub = reflection_pb2_grpc.ServerReflectionStub(it.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [each async for each in stub.ServerReflectionInfo(iter([request]))]
        names = {service.name for each in answers for service in each.list_services_response.service}
        assert "llmproxy.admin.v1.AdminService" in names
        assert "llmproxy.v1.LlmProxyService" not in names
