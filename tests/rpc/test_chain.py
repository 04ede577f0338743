"""Two proxies in a row: what one gives, two give, and what ends one ends both."""

import asyncio

import grpc
import pytest

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, embed_pb2, health_pb2, model_pb2
from llmproxy_grpc.calls import current_call
from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    CredentialsRejected,
    Fault,
    FieldViolation,
    InvalidRequest,
    PromptBlocked,
    UnsupportedParameter,
    UpstreamOverloaded,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamStreamBroken,
)
from llmproxy_grpc.messages import (
    Warning,
)
from llmproxy_grpc.providers.features import EmbedFeatures, Features
from llmproxy_grpc.providers.provider import Unsupported
from tests.fakes.certificates import Authority
from tests.fakes.polling import until
from tests.fakes.requests import broken_off, chat_request, failure, stream_request
from tests.fakes.scripted_provider import ScriptedProvider, answer, never
from tests.rpc.chains import CALL, THINKING, chain, finally_of, routes, spoken, streamed

SOON = 1.0  # the promise is 100 ms; tests assert ten times the figure


def without_tokens(candidates):
    for candidate in candidates:
        for part in candidate.message.parts:
            part.continuity_token = b""
    return list(candidates)


async def test_chat_through_two_proxies_answers_the_same(serve):
    async with chain(serve) as (near, far):
        far.scripted.chats.extend([spoken(), spoken()])
        one = await far.stub.Chat(chat_request())
        two = await near.stub.Chat(chat_request())
    assert without_tokens(two.candidates) == without_tokens(one.candidates)
    assert two.usage == one.usage
    assert two.provider_metadata["scripted"] == one.provider_metadata["scripted"]
    behind = two.provider_metadata["grpc"]["route"]
    assert (behind["provider"], behind["upstream_model"]) == ("scripted", "m")
    assert (two.route.provider, two.route.upstream_model) == ("far", "assistant")
    assert two.route.upstream_request_id not in ("", "upstream-1", one.id, two.id)


async def test_a_stream_through_two_proxies_says_the_same(serve):
    async with chain(serve) as (near, far):
        far.scripted.streams.extend([streamed(), streamed()])
        one, first = await finally_of(far.stub.Stream(stream_request(include_final_response=True)))
        two, second = await finally_of(near.stub.Stream(stream_request(include_final_response=True)))
    assert [event.WhichOneof("event") for event in second] == [event.WhichOneof("event") for event in first]
    assert without_tokens(two.candidates) == without_tokens(one.candidates)
    assert two.usage == one.usage
    assert two.provider_metadata["scripted"] == one.provider_metadata["scripted"]
    assert two.candidates[0].message.parts[2].tool_call.arguments_json == CALL.arguments_json


@pytest.mark.parametrize("streaming", [False, True])
async def test_continuity_tokens_come_back_to_the_byte_through_two_proxies(serve, streaming):
    async with chain(serve) as (near, far):
        far.scripted.chats.append(spoken())
        far.scripted.streams.append(streamed())
        if streaming:
            said, _ = await finally_of(near.stub.Stream(stream_request(include_final_response=True)))
        else:
            said = await near.stub.Chat(chat_request())
        request = chat_request()
        request.messages.append(said.candidates[0].message)
        result = content_pb2.ToolResult(tool_call_id="c1", content=[content_pb2.ContentPart(text="42")])
        request.messages.add(role=content_pb2.ROLE_TOOL, parts=[content_pb2.ContentPart(tool_result=result)])
        await near.stub.Chat(request)
        thinking, _, call = far.scripted.requests[-1].messages[1].parts
    assert (thinking, call) == (THINKING, CALL)


async def test_a_request_arrives_as_it_was_sent(serve):
    async with chain(serve) as (near, far):
        request = chat_request()
        request.generation.temperature = 0.0
        request.generation.seed = 7
        request.labels["team"] = "a"
        request.end_user_id = "u"
        request.provider_options["openai"]["service_tier"] = "flex"
        request.routing.providers.append("far")
        request.routing.max_attempts = 1
        await near.stub.Chat(request)
        await far.stub.Chat(chat_request())
        through, _ = far.scripted.requests
    assert (through.generation.temperature, through.generation.seed) == (0.0, 7)
    assert (through.labels, through.end_user_id) == ({"team": "a"}, "u")
    assert through.provider_options == {"openai": {"service_tier": "flex"}}
    assert (through.routing.providers, through.routing.max_attempts) == ((), 1)


@pytest.mark.parametrize("method", ["Chat", "Stream"])
@pytest.mark.parametrize("wish", [chat_pb2.DATA_POLICY_METADATA_ONLY, chat_pb2.DATA_POLICY_NO_TRAINING, 99])
async def test_what_may_be_kept_of_a_call_holds_for_the_far_proxy_as_well(serve, method, wish):
    request = chat_request()
    request.data = wish
    async with chain(serve) as (near, far):
        if method == "Stream":
            await finally_of(near.stub.Stream(chat_pb2.StreamRequest(chat=request)))
        else:
            await near.stub.Chat(request)
        (through,) = far.scripted.requests
    assert through.data == wish


ERRORS = [
    InvalidRequest("No.", violations=[FieldViolation("generation.seed", "must be small")]),
    ContextLengthExceeded("No.", metadata={"maxTokens": "8192"}, fault=Fault(http_status=400, code="too_long")),
    PromptBlocked("No."),
    CredentialsRejected("No."),
    UpstreamRateLimited("No.", retry_after=7.5, fault=Fault(http_status=429, code="slow", message="Slow down.")),
    UpstreamQuotaExhausted("No."),
    UpstreamServerError("No.", fault=Fault(http_status=503, message="Oops.")),
    UpstreamOverloaded("No."),
    UpstreamStreamBroken("No."),
]


def facts(error):
    detail = error.detail
    return (
        error.code,
        error.reason,
        error.fields,
        {name: value for name, value in error.info.metadata.items() if name != "requestId"},
        (detail.upstream_http_status, detail.upstream_code or error.reason, detail.retry_after, detail.retryable),
    )


@pytest.mark.parametrize("method", ["Chat", "Stream"])
async def test_an_error_keeps_its_code_its_reason_and_its_details(serve, method):
    request = chat_request() if method == "Chat" else stream_request()
    async with chain(serve) as (near, far):
        for raised in ERRORS:
            far.scripted.chats.extend([raised, raised])
            far.scripted.streams.extend([[raised], [raised]])
            far.forget()
            near.forget()
            one = await failure(getattr(far.stub, method)(request))
            far.forget()
            two = await failure(getattr(near.stub, method)(request))
            assert facts(two) == facts(one)
            assert one.reason == raised.reason
            assert (two.detail.provider, two.detail.upstream_model) == ("far", "assistant")


async def test_a_bug_of_the_far_proxy_is_a_failure_of_a_provider(serve):
    async with chain(serve) as (near, far):
        far.scripted.chats.append(ZeroDivisionError())
        error = await failure(near.stub.Chat(chat_request()))
    assert error.reason == "UPSTREAM_SERVER_ERROR"


async def test_what_the_far_proxys_targets_do_not_support_is_named(serve):
    async with chain(serve) as (near, far):
        far.scripted.unsupported_fields = [Unsupported("generation.seed", "not here")]
        error = await failure(near.stub.Chat(chat_request()))
        assert (error.reason, error.fields) == ("UNSUPPORTED_PARAMETER", ["generation.seed"])
        assert UnsupportedParameter.failover
        dropping = chat_request()
        dropping.routing.unsupported_params = chat_pb2.UNSUPPORTED_PARAMS_DROP
        response = await near.stub.Chat(dropping)
    assert [(each.code, each.field) for each in response.warnings] == [("PARAMETER_DROPPED", "generation.seed")]


async def test_warnings_of_the_far_proxy_come_once_each(serve):
    async with chain(serve) as (near, far):
        far.scripted.unsupported_fields = [Unsupported("generation.seed", "not here")]
        start, hello, *rest = answer()
        far.scripted.streams.append([start, hello, [Warning("LATER", "x", "y")], *rest])
        request = stream_request()
        request.chat.routing.unsupported_params = chat_pb2.UNSUPPORTED_PARAMS_DROP
        events = [event async for event in near.stub.Stream(request)]
    assert [each.code for each in events[0].start.warnings] == ["PARAMETER_DROPPED"]
    assert [event.warning.code for event in events if event.HasField("warning")] == ["LATER"]
    assert [each.code for each in events[-1].end.warnings] == ["PARAMETER_DROPPED", "LATER"]


async def test_a_stream_that_breaks_at_the_far_end_breaks_here(serve):
    async with chain(serve) as (near, far):
        far.scripted.streams.append([*answer()[:2], UpstreamStreamBroken("Gone.")])
        events, error = await broken_off(near.stub.Stream(stream_request()))
    assert [event.WhichOneof("event") for event in events] == ["start", "delta"]
    assert error.reason == "UPSTREAM_STREAM_BROKEN"


@pytest.mark.parametrize("method", ["Chat", "Stream"])
async def test_a_cancel_reaches_the_far_provider(serve, method):
    async with chain(serve) as (near, far):
        far.scripted.chats.append(never)
        far.scripted.streams.append([*answer()[:2], never])
        call = near.stub.Chat(chat_request()) if method == "Chat" else near.stub.Stream(stream_request())
        await until(lambda: far.scripted.requests)
        call.cancel()
        await until(lambda: far.scripted.cancelled == 1, within=SOON)


@pytest.mark.parametrize("method", ["Chat", "Stream"])
async def test_the_deadline_goes_along_and_is_answered_richly(serve, method):
    calls = []

    async def wait():
        calls.append(current_call.get())
        await never()

    async with chain(serve) as (near, far):
        far.scripted.chats.append(wait)
        far.scripted.streams.append([wait])
        request = chat_request() if method == "Chat" else stream_request()
        error = await failure(getattr(near.stub, method)(request, timeout=1.0))
        await until(lambda: far.scripted.cancelled == 1, within=SOON)
    assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert 0.3 < calls[0].deadline_at - calls[0].started_at < 1.0


async def test_a_cap_of_the_far_proxy_is_a_slow_provider(serve):
    async with chain(serve, config={"timeouts": {"unary": 0.1}}) as (near, far):
        far.scripted.chats.append(never)
        error = await failure(near.stub.Chat(chat_request(), timeout=20))
    assert error.reason == "UPSTREAM_TIMEOUT"


async def test_ids_and_traces_go_along(serve):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    calls = []

    async def look():
        calls.append(current_call.get())

    async with chain(serve) as (near, far):
        far.scripted.chats.append(look)
        await near.stub.Chat(chat_request(), metadata=(("x-request-id", "r1"), ("traceparent", trace)))
    (call,) = calls
    assert (call.request_id, call.hops, call.trace) == ("r1", 1, (("traceparent", trace),))


async def test_a_proxy_that_points_at_itself_ends_soon(serve):
    async with serve() as there:
        address = there.address
    async with serve(routes(address, grpc={"listen": address, "predrain": 0})) as ring:

        async def loop():
            error = await failure(ring.stub.Chat(chat_request()))
            return error.reason != "UPSTREAM_UNREACHABLE" and error  # its list was wanted before it listened

        await until(loop)
        error = await loop()
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "LOOP_DETECTED")
    assert error.info.metadata["limit"] == "4"


async def test_vectors_and_counts_come_from_the_far_provider(serve):
    async with chain(serve) as (near, far):
        far.scripted.can = Features(names=("openai",), embed=EmbedFeatures(dimensions=True), count_tokens=True)
        inputs = [content_pb2.ContentPart(text=text) for text in ("a", "b", "c")]
        request = embed_pb2.EmbedRequest(model="assistant", inputs=inputs, dimensions=2)
        request.provider_options["openai"]["encoding"] = "x"
        response = await near.stub.Embed(request)
        assert [list(each.values) for each in response.embeddings] == [[0.0, 0.5], [1.0, 0.5], [2.0, 0.5]]
        assert response.usage.total_tokens == 5
        assert far.scripted.embed_requests[0].provider_options == {"openai": {"encoding": "x"}}
        counted = await near.stub.CountTokens(model_pb2.CountTokensRequest(chat=chat_request()))
        assert (counted.input_tokens, counted.source) == (3, 1)


async def test_what_the_far_proxy_left_out_before_it_counted_is_told(serve):
    async with chain(serve) as (near, far):
        far.scripted.unsupported_fields = [Unsupported("generation.seed", "not here")]
        request = chat_request()
        request.routing.unsupported_params = chat_pb2.UNSUPPORTED_PARAMS_DROP
        counted = await near.stub.CountTokens(model_pb2.CountTokensRequest(chat=request))
    assert [(each.code, each.field) for each in counted.warnings] == [("PARAMETER_DROPPED", "generation.seed")]


async def test_an_estimate_of_the_far_proxy_stays_one(serve):
    async with chain(serve) as (near, far):
        far.scripted.counts.append(UpstreamServerError("No."))
        counted = await near.stub.CountTokens(model_pb2.CountTokensRequest(chat=chat_request()))
    assert counted.source == 2


async def test_its_models_are_listed_with_what_they_can_do(serve):
    async with chain(serve) as (near, far):
        theirs = (await far.stub.GetModel(model_pb2.GetModelRequest(id="assistant"))).model

        async def listed():
            found = (await near.stub.ListModels(model_pb2.ListModelsRequest())).models
            return next((each for each in found if each.id == "far/assistant"), None)

        await until(listed)
        ours = await listed()
    assert ours.capabilities == theirs.capabilities
    assert ours.input_modalities == theirs.input_modalities


async def test_a_probe_asks_the_far_proxy(serve):
    async with chain(serve) as (near, _):
        health = await near.stub.Health(health_pb2.HealthRequest(probe=True))
    assert health.providers[0].status == health_pb2.SERVING_STATUS_SERVING


async def test_a_far_proxy_that_is_gone_was_never_reached(serve):
    async with serve() as far:
        address = far.address
    async with serve(routes(address)) as near:
        error = await failure(near.stub.Chat(chat_request(), timeout=10))
        health = await near.stub.Health(health_pb2.HealthRequest(probe=True))
    assert error.reason == "UPSTREAM_UNREACHABLE"
    assert health.providers[0].status == health_pb2.SERVING_STATUS_NOT_SERVING


async def test_another_target_takes_over_for_a_far_proxy_that_fails(serve):
    async with serve() as far:
        config = routes(far.address)
        config["providers"].append({"name": "scripted", "kind": "scripted"})
        config["models"][0]["targets"].append({"provider": "scripted", "model": "m"})
        async with serve(config, providers={"scripted": ScriptedProvider()}) as near:
            far.scripted.chats.append(UpstreamServerError("No."))
            response = await near.stub.Chat(chat_request())
    assert response.route.provider == "scripted"
    assert [attempt.provider for attempt in response.route.failed_attempts] == ["far"]


async def test_tls_trusts_the_authorities_of_the_system(serve, tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    tls = {"grpc": {"listen": "127.0.0.1:0", "predrain": 0, "tls": {"cert": str(certificate), "key": str(key)}}}
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with chain(serve, config=tls, scheme="https", api_key="test-key") as (near, _):
        assert (await near.stub.Chat(chat_request())).model == "assistant"


async def test_many_calls_share_one_channel_and_do_not_mix(serve):
    async with serve({"providers": [{"name": "echo", "kind": "echo"}], "models": []}) as far:
        config = routes(far.address)
        config["models"][0]["targets"][0]["model"] = "echo/echo"
        async with serve(config) as near:
            texts = [f"word{number}" for number in range(50)]
            responses = await asyncio.gather(*(near.stub.Chat(chat_request(text)) for text in texts))
    assert [response.candidates[0].message.parts[0].text for response in responses] == texts
