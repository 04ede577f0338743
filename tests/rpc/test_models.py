import asyncio
import json

from llmproxy_grpc._gen.v1 import generation_pb2, health_pb2, model_pb2
from llmproxy_grpc.errors import UpstreamServerError
from llmproxy_grpc.messages import Capability, Modality
from llmproxy_grpc.providers.features import EmbedFeatures, Features
from llmproxy_grpc.providers.provider import UpstreamModel
from tests.fakes.faulty_upstream import Answer, FaultyUpstream
from tests.fakes.requests import chat_request, failure
from tests.fakes.scripted_provider import ScriptedProvider
from tests.rpc.conftest import asking

MILLION = 10**9
"""A dollar for a million tokens, as the API says it."""


async def model(server, name="assistant"):
    return (await server.stub.GetModel(model_pb2.GetModelRequest(id=name))).model


async def names(server, **fields):
    return [each.id for each in (await server.stub.ListModels(model_pb2.ListModelsRequest(**fields))).models]


def capabilities(of):
    return [model_pb2.Capability.Name(each).removeprefix("CAPABILITY_") for each in of.capabilities]


class Listing(ScriptedProvider):
    """Lists these models, with all that is known of them."""

    def __init__(self, *models, **features):
        super().__init__()
        self.told = models
        self.can = Features(names=("scripted",), **features)

    async def list_models(self):
        return self.told


async def test_a_model_tells_what_it_can_do_and_how_much_it_takes(serve):
    able = frozenset({Capability.CHAT, Capability.TOOLS})
    provider = Listing(UpstreamModel("m", 1000, 100, able), tools=True, json_schema=True)
    async with serve(providers={"scripted": provider}) as server:
        told = await model(server)
        listed = (await server.stub.ListModels(model_pb2.ListModelsRequest())).models
    assert capabilities(told) == ["CHAT", "TOOLS"]
    assert (told.max_input_tokens, told.max_output_tokens) == (1000, 100)
    assert told.input_modalities == [generation_pb2.MODALITY_TEXT] == told.output_modalities
    assert listed[0] == told
    assert listed[1].id == "scripted/m"
    assert capabilities(listed[1]) == capabilities(told)


async def test_a_model_of_vectors_says_so(serve):
    provider = Listing(UpstreamModel("m"), chat=False, embed=EmbedFeatures())
    async with serve(providers={"scripted": provider}) as server:
        assert capabilities(await model(server)) == ["EMBED"]


async def test_a_model_that_is_not_listed_is_described_by_its_kind(serve):
    async with serve(providers={"scripted": Listing(tools=True)}) as server:
        told = await model(server, "scripted/new")
    assert capabilities(told) == ["CHAT", "TOOLS"]
    assert (told.max_input_tokens, told.targets[0].upstream_model) == (0, "new")


async def test_a_request_that_needs_a_capability_of_the_model_finds_a_target(serve):
    async with FaultyUpstream() as plain, FaultyUpstream() as able:
        config = asking(f"{plain.url}/v1", f"{able.url}/v1")
        config["providers"][0]["quirks"] = {"seed": False, "tools": False}
        for upstream in (plain, able):
            upstream.script(Answer.json(b'{"data":[]}'))
        async with serve(config) as server:
            await asyncio.gather(plain.arrived(), able.arrived())
            assert "TOOLS" in capabilities(await model(server))
            choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
            able.script(Answer.json(json.dumps({"id": "1", "choices": [choice]}).encode()))
            request = chat_request()
            request.tools.add().function.name = "f"
            assert (await server.stub.Chat(request)).route.provider == "b"


async def test_each_target_tells_its_price_if_it_is_known(serve):
    row = {"vendor": "scripted", "models": ["m"], "currency": "EUR", "input": 1, "output": 5, "cached_input": 0.1}
    config = {
        "models": [{"id": "assistant", "targets": [{"provider": "scripted", "model": name} for name in ("m", "n")]}],
        "prices": {"rows": [{**row, "cache_write": 1.25, "cache_write_1h": 2}]},
    }
    async with serve(config) as server:
        known, unknown = (await model(server)).targets
    assert not unknown.HasField("price")
    assert known.price == model_pb2.Price(
        currency_code="EUR",
        input_nanos_per_million_tokens=MILLION,
        output_nanos_per_million_tokens=5 * MILLION,
        cached_input_nanos_per_million_tokens=MILLION // 10,
        cache_write_nanos_per_million_tokens=MILLION * 5 // 4,
    )


async def test_a_price_that_the_vendors_list_tells_is_shown_and_charged(serve):
    listed = {
        "id": "acme/large",
        "context_length": 200_000,
        "top_provider": {"max_completion_tokens": 8000},
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "supported_parameters": ["tools"],
        "pricing": {"prompt": "0.000001", "completion": "0.000005"},
    }
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    async with FaultyUpstream() as upstream:
        config = asking(f"{upstream.url}/v1")
        config["providers"][0] |= {"preset": "openrouter", "prices": "openrouter"}
        upstream.script(Answer.json(json.dumps({"data": [listed]}).encode()))
        async with serve(config) as server:
            told = await model(server, "a/acme/large")
            upstream.script(Answer.json(json.dumps({"id": "1", "choices": [choice], "usage": usage}).encode()))
            answer = await server.stub.Chat(chat_request(model="a/acme/large"))
    assert told.targets[0].price.output_nanos_per_million_tokens == 5 * MILLION
    assert capabilities(told) == ["CHAT", "TOOLS"]
    assert (told.max_input_tokens, told.max_output_tokens) == (200_000, 8000)
    assert told.input_modalities == [Modality.TEXT, Modality.IMAGE]
    assert answer.usage.cost.amount_nanos == 1_000_000 + 500_000


async def test_a_list_in_pages_is_read_to_its_end_by_the_same_address(serve):
    pages = [
        {"data": [{"id": "m1"}], "links": {"next": "https://elsewhere.example.com/x?offset=1"}},
        {"data": [{"id": "m1"}, {"id": "m2"}], "links": {"next": None}},
    ]
    async with FaultyUpstream() as upstream:
        upstream.script(*(Answer.json(json.dumps(page).encode()) for page in pages))
        async with serve({**asking(f"{upstream.url}/v1"), "models": []}) as server:
            assert await names(server) == ["a/m1", "a/m2"]
        assert [request.path for request in upstream.requests] == ["/v1/models", "/v1/models?offset=1"]


async def test_an_endless_list_of_pages_ends(serve):
    page = Answer.json(b'{"data":[{"id":"m"}],"links":{"next":"?again"}}')
    async with FaultyUpstream() as upstream:
        upstream.script(*[page] * 100)
        async with serve({**asking(f"{upstream.url}/v1"), "models": []}) as server:
            assert await names(server) == ["a/m"]
        assert len(upstream.requests) == 20


async def test_the_filter_holds_for_what_is_listed_called_and_shown_by_health(serve):
    provider = {"name": "scripted", "kind": "scripted", "models": {"include": ["m*"], "exclude": ["*-old"]}}
    async with serve({"providers": [provider], "models": []}, providers={"scripted": ScriptedProvider()}) as server:
        server.scripted.models[:] = ["m1", "m1-old", "x"]
        await server.app._runtime.directory.refresh()
        assert await names(server) == ["scripted/m1"]
        health = await server.stub.Health(health_pb2.HealthRequest())
        assert list(health.providers[0].models) == ["m1"]
        assert (await server.stub.Chat(chat_request(model="scripted/m1"))).route.upstream_model == "m1"
        for left_out in ("scripted/m1-old", "scripted/x"):
            assert (await failure(server.stub.Chat(chat_request(model=left_out)))).reason == "MODEL_NOT_FOUND"


async def test_a_new_model_is_listed_without_a_restart_and_a_failing_list_stays(serve):
    async with serve({"models": []}) as server:
        directory = server.app._runtime.directory
        server.scripted.models.append("n")
        await directory.refresh()
        assert await names(server) == ["scripted/m", "scripted/n"]
        server.scripted.probe_error = UpstreamServerError("It failed.")
        await directory.refresh()
        assert await names(server) == ["scripted/m", "scripted/n"]


async def test_a_reload_forgets_the_lists_of_those_providers_alone_that_changed(serve):
    providers = {name: ScriptedProvider(name) for name in ("same", "other")}
    async with serve({"models": []}, providers=providers) as server:
        assert await names(server) == ["other/m", "same/m"]
        for provider in providers.values():
            provider.probe_error = UpstreamServerError("It failed.")
        config = json.loads(server.config_file.read_text())
        config["providers"][0]["max_in_flight"] = 7  # which is no word on what there is at a provider
        config["providers"][1]["base_url"] = "http://127.0.0.1:9"
        server.config_file.write_text(json.dumps(config))
        await server.app._manager.reload()
        assert await names(server) == ["same/m"]
