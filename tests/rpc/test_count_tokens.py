"""CountTokens: by a provider that can, else by an estimate that says so; wrong requests fail as those of Chat."""

import grpc
import pytest

from llmproxy_grpc._gen.v1 import chat_pb2, model_pb2
from llmproxy_grpc._gen.v1.generation_pb2 import USAGE_SOURCE_ESTIMATE, USAGE_SOURCE_PROVIDER
from llmproxy_grpc.errors import (
    CapabilityNotSupported,
    ContextLengthExceeded,
    ModelNotFound,
    UpstreamRateLimited,
    UpstreamServerError,
)
from llmproxy_grpc.providers.features import EmbedFeatures, Features
from llmproxy_grpc.providers.provider import Unsupported
from tests.fakes.http import get
from tests.fakes.polling import until
from tests.fakes.requests import chat_request, failure
from tests.fakes.scripted_provider import never
from tests.rpc.test_chat import TWO, two

COUNTS_NOT = Features(names=("scripted",))


def counting(text="Hi!!", **fields):
    chat = chat_request(text, **fields)
    return model_pb2.CountTokensRequest(chat=chat)


async def test_a_provider_that_can_counts(serve):
    async with serve() as server:
        server.scripted.counts.append(42)
        call = server.stub.CountTokens(counting())
        answer = await call
        trailers = dict(await call.trailing_metadata())
        _, metrics = await get(server.http, "/metrics")
    assert (answer.input_tokens, answer.source) == (42, USAGE_SOURCE_PROVIDER)
    assert (trailers["llmproxy-provider"], trailers["llmproxy-model"]) == ("scripted", "m")
    assert "llmproxy-usage-bin" not in trailers  # counting uses nothing
    assert 'llmproxy_calls_total{code="OK",method="CountTokens",model="assistant"} 1.0' in metrics
    assert "llmproxy_tokens_total{" not in metrics


async def test_where_no_target_can_count_the_proxy_estimates_and_says_so(serve):
    async with serve() as server:
        server.scripted.can = COUNTS_NOT
        call = server.stub.CountTokens(counting("y" * 40))
        answer = await call
        trailers = dict(await call.trailing_metadata())
    assert (answer.input_tokens, answer.source) == (14, USAGE_SOURCE_ESTIMATE)
    assert "llmproxy-provider" not in trailers  # nobody was asked
    assert server.scripted.count_requests == []


async def test_a_target_that_cannot_count_is_passed_over_for_one_that_can(serve):
    providers = two()
    providers["a"].can = COUNTS_NOT
    async with serve(TWO, providers=providers) as server:
        call = server.stub.CountTokens(counting())
        assert (await call).source == USAGE_SOURCE_PROVIDER
        assert dict(await call.trailing_metadata())["llmproxy-provider"] == "b"


@pytest.mark.parametrize("trouble", [UpstreamServerError, UpstreamRateLimited, CapabilityNotSupported, ModelNotFound])
async def test_trouble_upstream_is_no_reason_to_fail_first_others_count_then_the_proxy_estimates(serve, trouble):
    providers = two()
    providers["a"].counts.append(trouble("No."))
    async with serve(TWO, providers=providers) as server:
        assert (await server.stub.CountTokens(counting())).source == USAGE_SOURCE_PROVIDER
        for provider in providers.values():
            provider.counts.append(trouble("No."))
        answer = await server.stub.CountTokens(counting())
        assert (answer.input_tokens, answer.source) == (5, USAGE_SOURCE_ESTIMATE)


async def test_a_full_provider_is_no_reason_to_fail(serve):
    async with serve({"providers": [{"name": "scripted", "kind": "scripted", "max_in_flight": 1}]}) as server:
        server.scripted.chats.append(never)
        waiting = server.stub.Chat(chat_request())
        await until(lambda: server.scripted.requests)
        assert (await server.stub.CountTokens(counting())).source == USAGE_SOURCE_ESTIMATE
        waiting.cancel()


async def test_a_stalled_provider_leaves_time_for_the_estimate(serve):
    async with serve() as server:
        server.scripted.counts.append(never)
        answer = await server.stub.CountTokens(counting(), timeout=1.0)
        assert answer.source == USAGE_SOURCE_ESTIMATE
        assert server.scripted.cancelled == 1


async def test_what_is_wrong_with_the_prompt_itself_is_reported(serve):
    async with serve() as server:
        server.scripted.counts.append(ContextLengthExceeded("Too long."))
        error = await failure(server.stub.CountTokens(counting()))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CONTEXT_LENGTH_EXCEEDED")


async def test_a_request_without_a_prompt_is_refused(serve):
    async with serve() as server:
        error = await failure(server.stub.CountTokens(model_pb2.CountTokensRequest()))
        assert (error.reason, error.fields) == ("INVALID_REQUEST", ["chat"])


async def test_a_prompt_is_judged_by_the_rules_of_chat(serve):
    async with serve() as server:
        request = model_pb2.CountTokensRequest(chat=chat_pb2.ChatRequest(idempotency_key="k"))
        assert (await failure(server.stub.CountTokens(request))).fields == ["chat.model", "chat.messages"]
        request = counting()
        request.chat.idempotency_key = "k"
        error = await failure(server.stub.CountTokens(request))
        assert (error.reason, error.fields) == ("FEATURE_DISABLED", ["chat.idempotency_key"])
        assert (await failure(server.stub.CountTokens(counting(model="nobody")))).reason == "MODEL_NOT_FOUND"


@pytest.mark.parametrize("can", [COUNTS_NOT, Features(names=("scripted",), count_tokens=True)])
async def test_a_prompt_that_chat_would_refuse_is_not_counted(serve, can):
    async with serve() as server:
        server.scripted.can = can
        server.scripted.unsupported_fields = [Unsupported("generation.top_k", "No such setting.")]
        error = await failure(server.stub.CountTokens(counting()))
        assert (error.reason, error.fields) == ("UNSUPPORTED_PARAMETER", ["generation.top_k"])
        request = counting()
        request.chat.routing.unsupported_params = chat_pb2.UNSUPPORTED_PARAMS_DROP
        counted = await server.stub.CountTokens(request)
    assert counted.input_tokens
    (warning,) = counted.warnings
    assert (warning.code, warning.field) == ("PARAMETER_DROPPED", "generation.top_k")


async def test_a_count_after_trouble_warns_once(serve):
    providers = two()
    for provider in providers.values():
        provider.unsupported_fields = [Unsupported("generation.top_k", "No such setting.")]
    request = counting()
    request.chat.routing.unsupported_params = chat_pb2.UNSUPPORTED_PARAMS_DROP
    async with serve(TWO, providers=providers) as server:
        for troubled in (["a"], ["a", "b"]):
            for name in troubled:
                providers[name].counts.append(UpstreamServerError("No."))
            counted = await server.stub.CountTokens(request)
            assert counted.source == (USAGE_SOURCE_PROVIDER if troubled == ["a"] else USAGE_SOURCE_ESTIMATE)
            assert [warning.field for warning in counted.warnings] == ["generation.top_k"]


async def test_a_model_of_vectors_alone_counts_no_prompts(serve):
    async with serve() as server:
        server.scripted.can = Features(names=("scripted",), chat=False, embed=EmbedFeatures())
        error = await failure(server.stub.CountTokens(counting()))
        assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "CAPABILITY_NOT_SUPPORTED")
        assert "CAPABILITY_CHAT" in error.message


async def test_an_absurd_count_is_clipped(serve):
    async with serve() as server:
        server.scripted.counts.append(2**40)
        assert (await server.stub.CountTokens(counting())).input_tokens == 2**31 - 1
