import asyncio
import json

import grpc
import pytest
from msgspec.structs import replace

from llmproxy_grpc._gen.v1 import chat_pb2, generation_pb2
from llmproxy_grpc.errors import UpstreamRateLimited, UpstreamServerError, UpstreamUnreachable
from llmproxy_grpc.providers.features import Blank
from llmproxy_grpc.providers.provider import Change, Unsupported
from tests.fakes.polling import until
from tests.fakes.requests import chat_request, failure
from tests.fakes.scripted_provider import ScriptedProvider, never, response

TWO = {
    "providers": [{"name": "a", "kind": "scripted"}, {"name": "b", "kind": "scripted"}],
    "models": [
        {"id": "assistant", "targets": [{"provider": "a", "model": "m1"}, {"provider": "b", "model": "m2"}]},
        {"id": "other", "targets": [{"provider": "b", "model": "m3"}]},
    ],
}


def two() -> dict[str, ScriptedProvider]:
    return {"a": ScriptedProvider("a"), "b": ScriptedProvider("b")}


async def test_chat_answers_and_tells_how(serve):
    async with serve() as server:
        call = server.stub.Chat(chat_request("What?"), metadata=(("x-request-id", "my-id.1"),))
        answer = await call
        trailers = dict(await call.trailing_metadata())
    assert answer.candidates[0].message.parts[0].text == "Hello there"
    assert answer.candidates[0].finish_reason == generation_pb2.FINISH_REASON_STOP
    assert answer.model == "assistant"
    assert (answer.route.provider, answer.route.upstream_model) == ("scripted", "m")
    assert answer.route.upstream_request_id == "upstream-1"
    assert answer.usage.total_tokens == 5
    assert len(answer.id) == 36
    assert answer.id[14] == "7"
    assert trailers["x-request-id"] == "my-id.1"
    assert trailers["llmproxy-provider"] == "scripted"
    assert trailers["llmproxy-model"] == "m"
    assert generation_pb2.Usage.FromString(trailers["llmproxy-usage-bin"]).input_tokens == 3


async def test_usage_is_estimated_and_says_so_when_the_provider_is_silent(serve):
    async with serve() as server:
        server.scripted.chats.append(response("x" * 40, usage=None))
        answer = await server.stub.Chat(chat_request("y" * 8))
    assert answer.usage.source == generation_pb2.USAGE_SOURCE_ESTIMATE
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (6, 10)


async def test_a_malformed_request_id_is_replaced(serve):
    async with serve() as server:
        call = server.stub.Chat(chat_request(), metadata=(("x-request-id", "no good!"),))
        answer = await call
        assert dict(await call.trailing_metadata())["x-request-id"] == answer.id


async def test_chat_fails_over_and_reports_the_attempt(serve):
    providers = two()
    providers["a"].chats.append(UpstreamServerError("It failed."))
    async with serve(TWO, providers=providers) as server:
        answer = await server.stub.Chat(chat_request())
    assert answer.route.provider == "b"
    assert [attempt.provider for attempt in answer.route.failed_attempts] == ["a"]
    assert answer.route.failed_attempts[0].grpc_code == grpc.StatusCode.UNAVAILABLE.value[0]


async def test_the_last_error_leaves_with_every_attempt_and_no_repetition(serve):
    providers = two()
    providers["a"].chats.append(UpstreamRateLimited("Slow down.", retry_after=9))
    providers["b"].chats.append(UpstreamUnreachable("No connection."))
    async with serve(TWO, providers=providers) as server:
        error = await failure(server.stub.Chat(chat_request()))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNREACHABLE")
    assert error.pushback == "-1"
    assert [attempt.provider for attempt in error.detail.attempts] == ["a", "b"]
    assert error.detail.provider == "b"


async def test_a_rate_limit_is_reported_only_when_every_target_is_limited(serve):
    providers = two()
    providers["a"].chats.append(UpstreamRateLimited("Slow down.", retry_after=9))
    providers["b"].chats.append(UpstreamRateLimited("Slow down.", retry_after=6))
    async with serve(TWO, providers=providers) as server:
        error = await failure(server.stub.Chat(chat_request()))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPSTREAM_RATE_LIMITED")
    assert error.pushback == "6000"
    assert error.retry_info.retry_delay.seconds == 6


async def test_max_attempts_bounds_the_tries(serve):
    providers = two()
    providers["a"].chats.append(UpstreamServerError("It failed."))
    async with serve(TWO, providers=providers) as server:
        request = chat_request()
        request.routing.max_attempts = 1
        error = await failure(server.stub.Chat(request))
        assert error.reason == "UPSTREAM_SERVER_ERROR"
        assert providers["b"].requests == []


async def test_routing_providers_and_fallback_models_constrain_the_route(serve):
    providers = two()
    async with serve(TWO, providers=providers) as server:
        request = chat_request()
        request.routing.providers.append("b")
        assert (await server.stub.Chat(request)).route.upstream_model == "m2"
        request = chat_request()
        request.routing.fallback_models.append("other")
        request.routing.max_attempts = 3
        providers["a"].chats.append(UpstreamServerError("It failed."))
        providers["b"].chats.append(UpstreamServerError("It failed."))
        assert (await server.stub.Chat(request)).route.upstream_model == "m3"
        request = chat_request()
        request.routing.providers.append("nobody")
        error = await failure(server.stub.Chat(request))
        assert error.fields == ["routing.providers[0]"]


async def test_the_callers_first_token_timeout_bounds_an_attempt_of_chat(serve):
    providers = two()
    providers["a"].chats.append(never)
    async with serve(TWO, providers=providers) as server:
        request = chat_request()
        request.routing.first_token_timeout.FromMilliseconds(50)
        answer = await server.stub.Chat(request, timeout=5)
        assert answer.route.provider == "b"
        assert providers["a"].cancelled == 1


async def test_unsupported_fields_are_refused_by_name_or_dropped_with_a_warning(serve):
    async with serve() as server:
        server.scripted.unsupported_fields = [Unsupported("generation.top_k", "This API has no top_k.")]
        request = chat_request()
        request.generation.top_k = 3
        error = await failure(server.stub.Chat(request))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNSUPPORTED_PARAMETER")
        assert error.fields == ["generation.top_k"]
        request.routing.unsupported_params = chat_pb2.UNSUPPORTED_PARAMS_DROP
        answer = await server.stub.Chat(request)
        assert [(warning.code, warning.field) for warning in answer.warnings] == [
            ("PARAMETER_DROPPED", "generation.top_k")
        ]


async def test_a_part_without_which_nothing_is_left_to_answer_is_refused_even_if_it_may_be_dropped(serve):
    async with serve() as server:
        server.scripted.unsupported_fields = [Unsupported("messages[0].parts[0].image", "This API has no eyes.")]
        for text, reason in (("And?", ""), (" ", "UNSUPPORTED_PARAMETER")):
            request = chat_request(text)
            request.routing.unsupported_params = chat_pb2.UNSUPPORTED_PARAMS_DROP
            if not reason:
                await server.stub.Chat(request)
                continue
            error = await failure(server.stub.Chat(request))
            assert (error.reason, error.fields) == (reason, ["messages[0].parts[0].image"])
            assert "DROP" not in error.message


async def test_a_conversation_without_a_word_is_refused_where_a_provider_takes_none(serve):
    async with serve() as server:
        await server.stub.Chat(chat_request(" "))
        server.scripted.can = replace(server.scripted.can, blank=Blank.NONE)
        error = await failure(server.stub.Chat(chat_request(" ")))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNSUPPORTED_PARAMETER")
        assert error.fields == ["messages[0].parts[0].text"]


async def test_what_is_no_reason_to_refuse_is_answered_with_a_warning(serve):
    async with serve() as server:
        server.scripted.changes = [
            Change("generation.reasoning.effort", "It gets LOW."),
            Change("messages[2].parts[0].tool_result.is_error", "It cannot be told.", dropped=True),
        ]
        answer = await server.stub.Chat(chat_request())
    assert [(warning.code, warning.field) for warning in answer.warnings] == [
        ("PARAMETER_CHANGED", "generation.reasoning.effort"),
        ("PARAMETER_DROPPED", "messages[2].parts[0].tool_result.is_error"),
    ]


async def test_a_target_that_cannot_honour_the_request_is_passed_over(serve):
    providers = two()
    providers["a"].unsupported_fields = [Unsupported("tools", "No tools.")]
    async with serve(TWO, providers=providers) as server:
        answer = await server.stub.Chat(chat_request())
        assert answer.route.provider == "b"
        assert not answer.route.failed_attempts


async def test_a_full_provider_is_passed_over(serve):
    providers = two()
    providers["a"].chats.append(never)
    config = {**TWO, "providers": [{"name": "a", "kind": "scripted", "max_in_flight": 1}, TWO["providers"][1]]}
    async with serve(config, providers=providers) as server:
        waiting = server.stub.Chat(chat_request())
        await until(lambda: providers["a"].requests)
        answer = await server.stub.Chat(chat_request())
        assert answer.route.provider == "b"
        assert answer.route.failed_attempts[0].reason == 20
        waiting.cancel()


@pytest.mark.parametrize("before", [{}, {"max_in_flight": 9}, {"max_in_flight": "auto"}])
async def test_a_reload_that_sets_a_limit_counts_what_runs_already(serve, before):
    providers = two()
    go = asyncio.Event()
    providers["a"].chats.extend([go.wait] * 2)
    config = {**TWO, "providers": [{"name": "a", "kind": "scripted", **before}, TWO["providers"][1]]}
    async with serve(config, providers=providers) as server:
        waiting = [asyncio.ensure_future(server.stub.Chat(chat_request())) for _ in range(2)]
        await until(lambda: len(providers["a"].requests) == 2)
        changed = json.loads(server.config_file.read_text())
        changed["providers"][0]["max_in_flight"] = 2
        server.config_file.write_text(json.dumps(changed))
        await server.app._manager.reload()
        assert (await server.stub.Chat(chat_request())).route.provider == "b"
        go.set()
        assert {(await call).route.provider for call in waiting} == {"a"}
        assert (await server.stub.Chat(chat_request())).route.provider == "a"


async def test_a_learned_limit_passes_calls_on_as_a_configured_one(serve):
    config = {**TWO, "providers": [{"name": "a", "kind": "scripted", "max_in_flight": "auto"}, TWO["providers"][1]]}
    providers = two()
    async with serve(config, providers=providers) as server:
        concurrency = server.app._runtime.concurrency
        assert concurrency.limit("a") == 20
        for _ in range(50):
            concurrency._learned["a"].refused()
        go = asyncio.Event()
        providers["a"].chats.extend([go.wait] * 4)
        waiting = [asyncio.ensure_future(server.stub.Chat(chat_request())) for _ in range(4)]
        await until(lambda: len(providers["a"].requests) == 4)
        assert (await server.stub.Chat(chat_request())).route.provider == "b"
        go.set()
        assert {(await call).route.provider for call in waiting} == {"a"}
        assert concurrency._places["a"].taken == 0


async def test_route_defaults_fill_unset_settings_alone(serve):
    config = {
        "models": [
            {
                "id": "assistant",
                "targets": [{"provider": "scripted", "model": "m"}],
                "defaults": {"max_output_tokens": 7, "temperature": 0.5},
            }
        ]
    }
    async with serve(config) as server:
        request = chat_request()
        request.generation.temperature = 0.0
        await server.stub.Chat(request)
        generation = server.scripted.requests[0].generation
        assert (generation.max_output_tokens, generation.temperature) == (7, 0.0)


async def test_the_default_model_answers_to_default(serve):
    async with serve({"default_model": "assistant"}) as server:
        answer = await server.stub.Chat(chat_request(model="default"))
        assert answer.route.upstream_model == "m"


async def test_direct_models_split_at_the_first_slash(serve):
    async with serve() as server:
        answer = await server.stub.Chat(chat_request(model="scripted/org/model"))
        assert answer.route.upstream_model == "org/model"


async def test_an_unknown_field_is_reported(serve):
    async with serve() as server:
        raw = chat_request().SerializeToString() + bytes([0xF8, 0x7F, 0x01])
        chat = server.channel.unary_unary(
            "/llmproxy.v1.LlmProxyService/Chat", response_deserializer=chat_pb2.ChatResponse.FromString
        )
        answer = await chat(raw)
        assert [warning.code for warning in answer.warnings] == ["UNKNOWN_FIELD"]
