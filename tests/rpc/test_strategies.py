"""Strategies, conditions and stickiness as the configuration asks for them, through the real server."""

from collections import Counter

import grpc
import pytest

from llmproxy_grpc.config.models import ModelConfig
from llmproxy_grpc.errors import ContextLengthExceeded, UpstreamServerError
from llmproxy_grpc.routing.strategies.table import STRATEGIES
from tests.fakes.requests import chat_request, failure, stream_request
from tests.fakes.scripted_provider import ScriptedProvider


def routed(targets, **settings):
    """A configuration of one model; targets by the names of their providers."""
    listed = [{"provider": name, "model": "m", **more} for name, more in targets.items()]
    return {"models": [{"id": "assistant", "targets": listed, **settings}]}


def scripted(*names):
    return {name: ScriptedProvider(name) for name in names}


async def served(server, calls, ask=chat_request):
    """Who answered each of several calls."""
    return [(await server.stub.Chat(ask())).route.provider for _ in range(calls)]


def test_every_strategy_of_the_configuration_is_there():
    assert set(STRATEGIES) == set(ModelConfig.model_json_schema()["properties"]["strategy"]["enum"])


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_every_strategy_fails_over(serve, strategy):
    providers = scripted("a", "b")
    async with serve(routed({"a": {}, "b": {}}, strategy=strategy), providers=providers) as server:
        for _ in range(6):
            for provider in providers.values():
                provider.chats.clear()
            providers["a"].chats.append(UpstreamServerError("It failed."))
            assert (await server.stub.Chat(chat_request())).route.provider in ("a", "b")
    assert len(providers["b"].requests) >= 1


async def test_round_robin_takes_turns_by_weight(serve):
    config = routed({"a": {"weight": 2}, "b": {}}, strategy="round_robin")
    async with serve(config, providers=scripted("a", "b")) as server:
        assert await served(server, 6) == ["a", "b", "a", "a", "b", "a"]


async def test_least_latency_leaves_a_failing_target_alone(serve):
    providers = scripted("a", "b")
    providers["a"].chats.extend([UpstreamServerError("It failed.")] * 100)
    async with serve(routed({"a": {}, "b": {}}, strategy="least_latency"), providers=providers) as server:
        assert Counter(await served(server, 50)) == {"b": 50}
    assert len(providers["a"].requests) <= 25


async def test_a_stream_feeds_and_follows_the_strategy(serve):
    async with serve(routed({"a": {}, "b": {}}, strategy="least_latency"), providers=scripted("a", "b")) as server:
        for _ in range(10):
            events = [event async for event in server.stub.Stream(stream_request())]
            assert events[-1].WhichOneof("event") == "end"


async def test_labels_lead_to_their_target(serve):
    def gold():
        asked = chat_request()
        asked.labels["tier"] = "gold"
        return asked

    config = routed({"a": {"when": {"labels": {"tier": "gold"}}}, "b": {}})
    async with serve(config, providers=scripted("a", "b")) as server:
        assert await served(server, 1, gold) == ["a"]
        assert await served(server, 1) == ["b"]


async def test_a_call_that_is_for_no_target_is_told_so(serve):
    config = routed({"a": {"when": {"max_prompt_tokens": 10}}})
    async with serve(config, providers=scripted("a")) as server:
        error = await failure(server.stub.Chat(chat_request("x" * 1000)))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert await served(server, 1) == ["a"]


async def test_a_long_prompt_goes_where_it_fits(serve):
    config = routed({"a": {"max_input_tokens": 100}, "b": {"max_input_tokens": 10_000}})
    async with serve(config, providers=scripted("a", "b")) as server:
        assert await served(server, 1) == ["a"]
        assert await served(server, 1, lambda: chat_request("x" * 4000)) == ["b"]


async def test_a_conversation_stays_with_its_target(serve):
    names = ("a", "b", "c")
    config = routed({name: {} for name in names}, strategy="weighted", sticky="conversation")
    homes = set()
    async with serve(config, providers=scripted(*names)) as server:
        for number in range(20):

            def asked(number=number):
                request = chat_request()
                request.conversation_id = f"talk-{number}"
                return request

            (home,) = set(await served(server, 5, asked))
            homes.add(home)
    assert homes == set(names)


async def test_a_prompt_that_is_too_long_is_answered_by_another_model(serve):
    providers = scripted("a", "b", "large")
    for name in ("a", "b"):
        providers[name].chats.append(ContextLengthExceeded("Too long."))
        providers[name].streams.append([ContextLengthExceeded("Too long.")])
    config = routed({"a": {}, "b": {}}, fallbacks={"context_length": ["large"]})
    config["models"].append({"id": "large", "targets": [{"provider": "large", "model": "m"}]})
    async with serve(config, providers=providers) as server:
        answered = await server.stub.Chat(chat_request())
        assert (answered.route.provider, answered.route.failed_attempts[0].provider) == ("large", "a")
        events = [event async for event in server.stub.Stream(stream_request())]
        assert events[-1].WhichOneof("event") == "end"
    assert [len(providers[name].requests) for name in ("a", "b", "large")] == [2, 0, 2]
