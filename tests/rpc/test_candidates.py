"""What a request rules out, and what is tried for it."""

import grpc
import pytest

from llmproxy_grpc.errors import UpstreamServerError
from tests.fakes.requests import chat_request, failure, stream_request
from tests.fakes.scripted_provider import ScriptedProvider


async def test_options_of_an_unknown_kind_are_refused_by_path(serve):
    async with serve() as server:
        asked = stream_request()
        asked.chat.provider_options["nokind"]["seed"] = 1
        for call in (server.stub.Chat(asked.chat), server.stub.Stream(asked)):
            error = await failure(call)
            assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
            assert error.fields == ['provider_options["nokind"]']
        assert server.scripted.requests == []


async def test_options_of_a_kind_that_is_known_but_not_asked_are_no_error(serve):
    async with serve() as server:
        asked = chat_request()
        asked.provider_options["openai"]["seed"] = 1
        assert (await server.stub.Chat(asked)).model == "assistant"


TARGET = {"provider": "scripted", "model": "m"}


@pytest.mark.parametrize("whose", ["caller", "configuration"])
async def test_a_fallback_with_the_same_target_is_not_tried_twice(serve, whose):
    first = {"id": "assistant", "targets": [TARGET]}
    if whose == "configuration":
        first["fallback_models"] = ["twin"]
    async with serve({"models": [first, {"id": "twin", "targets": [TARGET]}]}) as server:
        asked = stream_request()
        if whose == "caller":
            asked.chat.routing.fallback_models.append("twin")
        server.scripted.chats.append(UpstreamServerError("It failed."))
        server.scripted.streams.append([UpstreamServerError("It failed.")])
        assert (await failure(server.stub.Chat(asked.chat))).reason == "UPSTREAM_SERVER_ERROR"
        assert len(server.scripted.requests) == 1
        assert (await failure(server.stub.Stream(asked))).reason == "UPSTREAM_SERVER_ERROR"
        assert len(server.scripted.requests) == 2


async def test_a_fallback_with_another_target_is_tried_behind_the_first(serve):
    providers = {name: ScriptedProvider(name) for name in ("a", "b")}
    providers["a"].chats.append(UpstreamServerError("It failed."))
    models = [
        {"id": "assistant", "targets": [{"provider": "a", "model": "m"}]},
        {"id": "other", "targets": [{"provider": name, "model": "m"} for name in ("a", "b")]},
    ]
    async with serve({"models": models}, providers=providers) as server:
        asked = chat_request()
        asked.routing.fallback_models.append("other")
        answered = await server.stub.Chat(asked)
    assert answered.route.provider == "b"
    assert [len(providers[name].requests) for name in ("a", "b")] == [1, 1]
