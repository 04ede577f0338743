"""Embed: vectors by the same attempts as Chat, in pieces where a provider takes fewer inputs at once."""

from array import array

import grpc
import pytest

from llmproxy_grpc._gen.v1 import chat_pb2, embed_pb2, error_pb2, generation_pb2
from llmproxy_grpc.errors import UpstreamRateLimited, UpstreamServerError
from llmproxy_grpc.messages import EmbedPurpose, EmbedResponse, MediaKind
from llmproxy_grpc.providers.features import EmbedFeatures, Features, MediaFeature, Source
from tests.fakes.http import get
from tests.fakes.polling import until
from tests.fakes.requests import chat_request, failure
from tests.fakes.scripted_provider import USED, never, vectors
from tests.rpc.test_chat import TWO, two

NO_VECTORS = Features(names=("scripted",))


def embed_request(*texts, model="assistant", **fields):
    inputs = [{"text": text} for text in texts or ("Hi",)]
    return embed_pb2.EmbedRequest(model=model, inputs=inputs, **fields)


def can(**fields):
    return Features(names=("scripted",), embed=EmbedFeatures(**fields))


def values(answer):
    return [list(embedding.values) for embedding in answer.embeddings]


async def test_embed_gives_a_vector_for_each_input_and_tells_how(serve):
    async with serve() as server:
        call = server.stub.Embed(embed_request("a", "b", "c"), metadata=(("x-request-id", "my-id.1"),))
        answer = await call
        trailers = dict(await call.trailing_metadata())
    assert values(answer) == [[0, 0.5], [1, 0.5], [2, 0.5]]
    assert answer.model == "assistant"
    assert len(answer.id) == 36
    assert (answer.route.provider, answer.route.upstream_model) == ("scripted", "m")
    assert answer.route.upstream_request_id == "upstream-1"
    assert (answer.usage.total_tokens, answer.usage.source) == (5, generation_pb2.USAGE_SOURCE_PROVIDER)
    assert trailers["x-request-id"] == "my-id.1"
    assert (trailers["llmproxy-provider"], trailers["llmproxy-model"]) == ("scripted", "m")
    assert generation_pb2.Usage.FromString(trailers["llmproxy-usage-bin"]).input_tokens == 3


async def test_usage_is_estimated_and_says_so_when_the_provider_is_silent(serve):
    async with serve() as server:
        server.scripted.embeds.append(vectors(2, None))
        answer = await server.stub.Embed(embed_request("y" * 8, "y" * 9))
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 0)
    assert answer.usage.source == generation_pb2.USAGE_SOURCE_ESTIMATE


async def test_embed_fails_over_and_reports_the_attempt(serve):
    providers = two()
    providers["a"].embeds.append(UpstreamServerError("It failed."))
    async with serve(TWO, providers=providers) as server:
        answer = await server.stub.Embed(embed_request())
    assert answer.route.provider == "b"
    assert [attempt.provider for attempt in answer.route.failed_attempts] == ["a"]


async def test_a_stalled_target_leaves_time_for_the_next(serve):
    providers = two()
    providers["a"].embeds.append(never)
    async with serve({**TWO, "timeouts": {"first_token": 0.1}}, providers=providers) as server:
        answer = await server.stub.Embed(embed_request(), timeout=2.0)
    assert answer.route.provider == "b"
    assert providers["a"].cancelled == 1


async def test_more_inputs_than_a_provider_takes_are_split_in_order_within_one_attempt(serve):
    async with serve() as server:
        server.scripted.can = can(most_inputs=2, dimensions=True)
        server.scripted.embeds.extend([vectors(2), vectors(2, begin=2), vectors(1, begin=4)])
        answer = await server.stub.Embed(embed_request(*"abcde", dimensions=2))
        asked = server.scripted.embed_requests
        _, metrics = await get(server.http, "/metrics")
    assert [[part.text for part in each.inputs] for each in asked] == [["a", "b"], ["c", "d"], ["e"]]
    assert [each.dimensions for each in asked] == [2, 2, 2]
    assert [vector[0] for vector in values(answer)] == [0, 1, 2, 3, 4]
    assert (answer.usage.input_tokens, answer.usage.total_tokens) == (9, 15)
    assert 'llmproxy_attempts_total{outcome="ok",provider="scripted"} 1.0' in metrics
    assert 'llmproxy_calls_total{code="OK",method="Embed",model="assistant"} 1.0' in metrics
    assert 'llmproxy_tokens_total{model="assistant",provider="scripted",type="input"} 9.0' in metrics


async def test_more_text_than_a_provider_takes_is_split_as_well(serve):
    async with serve() as server:
        server.scripted.can = can(most_inputs=0, most_bytes=5)
        server.scripted.embeds.extend([vectors(2), vectors(1, begin=2), vectors(1, begin=3)])
        answer = await server.stub.Embed(embed_request("ab", "äc", "far too long", "x"))
        asked = server.scripted.embed_requests
    assert [[part.text for part in each.inputs] for each in asked] == [["ab", "äc"], ["far too long"], ["x"]]
    assert [vector[0] for vector in values(answer)] == [0, 1, 2, 3]


async def test_a_piece_that_fails_fails_the_attempt_which_says_what_the_pieces_before_used(serve):
    providers = two()
    providers["a"].can = can(most_inputs=1)
    providers["a"].embeds.extend([vectors(1), vectors(1), UpstreamRateLimited("Slow down.")])
    async with serve(TWO, providers=providers) as server:
        answer = await server.stub.Embed(embed_request(*"abc"))
    assert (answer.route.provider, len(answer.embeddings)) == ("b", 3)
    assert answer.route.failed_attempts[0].usage.input_tokens == 2 * USED.input_tokens
    assert answer.usage.input_tokens == USED.input_tokens


async def test_pieces_whose_vectors_differ_in_length_are_no_answer(serve):
    providers = two()
    providers["a"].can = can(most_inputs=1)
    longer = EmbedResponse((array("f", (1, 2, 3)),), USED)
    providers["a"].embeds.extend([vectors(1), longer, vectors(1)])
    async with serve(TWO, providers=providers) as server:
        answer = await server.stub.Embed(embed_request(*"abc"))
    assert (answer.route.provider, len(answer.embeddings)) == ("b", 3)
    assert answer.route.failed_attempts[0].reason == error_pb2.ERROR_REASON_UPSTREAM_PROTOCOL_ERROR
    assert len(providers["a"].embed_requests) == 2


async def test_a_target_that_makes_no_vectors_is_passed_over_untried(serve):
    providers = two()
    providers["a"].can = NO_VECTORS
    async with serve(TWO, providers=providers) as server:
        answer = await server.stub.Embed(embed_request())
    assert answer.route.provider == "b"
    assert not answer.route.failed_attempts
    assert providers["a"].embed_requests == []


async def test_a_model_none_of_whose_targets_makes_vectors_is_refused_with_what_to_do(serve):
    async with serve() as server:
        server.scripted.can = NO_VECTORS
        error = await failure(server.stub.Embed(embed_request()))
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "CAPABILITY_NOT_SUPPORTED")
    assert error.message == (
        "No target of the model makes vectors; ask a model that has CAPABILITY_EMBED in ListModels."
    )
    assert error.info.metadata["model"] == "assistant"
    assert error.info.metadata["capability"] == "EMBED"


async def test_a_model_of_vectors_alone_is_not_asked_to_chat(serve):
    async with serve() as server:
        server.scripted.can = Features(names=("scripted",), chat=False, embed=EmbedFeatures())
        assert await server.stub.Embed(embed_request())
        error = await failure(server.stub.Chat(chat_request()))
    assert error.reason == "CAPABILITY_NOT_SUPPORTED"
    assert server.scripted.requests == []


async def test_a_caller_may_choose_the_providers_and_the_attempts(serve):
    providers = two()
    async with serve(TWO, providers=providers) as server:
        answer = await server.stub.Embed(embed_request(routing={"providers": ["b"]}))
        assert answer.route.provider == "b"
        providers["a"].embeds.append(UpstreamServerError("It failed."))
        error = await failure(server.stub.Embed(embed_request(routing={"max_attempts": 1})))
        assert error.reason == "UPSTREAM_SERVER_ERROR"
        assert error.pushback == "-1"


async def test_unsupported_fields_are_refused_by_name_or_dropped_with_a_warning(serve):
    async with serve() as server:
        server.scripted.can = can()
        request = embed_request(dimensions=8, purpose=embed_pb2.EMBED_PURPOSE_QUERY)
        error = await failure(server.stub.Embed(request))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNSUPPORTED_PARAMETER")
        assert error.fields == ["dimensions", "purpose"]
        assert "DROP" in error.message
        request.routing.unsupported_params = chat_pb2.UNSUPPORTED_PARAMS_DROP
        answer = await server.stub.Embed(request)
        assert [(warning.code, warning.field) for warning in answer.warnings] == [
            ("PARAMETER_DROPPED", "dimensions"),
            ("PARAMETER_DROPPED", "purpose"),
        ]
        asked = server.scripted.embed_requests[0]
        assert (asked.dimensions, asked.purpose) == (None, EmbedPurpose.UNSPECIFIED)


async def test_an_input_that_cannot_be_embedded_is_refused_even_where_others_may_be_dropped(serve):
    picture = {"image": {"data": b"x", "media_type": "image/png"}}
    request = embed_pb2.EmbedRequest(model="assistant", inputs=[{"text": "a"}, picture])
    request.routing.unsupported_params = chat_pb2.UNSUPPORTED_PARAMS_DROP
    providers = two()
    async with serve(TWO, providers=providers) as server:
        error = await failure(server.stub.Embed(request))
        assert (error.reason, error.fields) == ("UNSUPPORTED_PARAMETER", ["inputs[1].image"])
        assert "DROP" not in error.message
        providers["b"].can = can(media={MediaKind.IMAGE: MediaFeature(prompts=Source.DATA)})
        assert (await server.stub.Embed(request)).route.provider == "b"


async def test_a_wrong_request_names_every_wrong_field(serve):
    request = embed_pb2.EmbedRequest(inputs=[{"text": ""}, {"refusal": "no"}], dimensions=0)
    request.provider_options["openai"].SetInParent()
    async with serve() as server:
        error = await failure(server.stub.Embed(request))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert error.fields == ["model", "inputs[0].text", "inputs[1].refusal", "dimensions"]
        unknown = embed_request()
        unknown.provider_options["nobody"].SetInParent()
        assert (await failure(server.stub.Embed(unknown))).fields == ['provider_options["nobody"]']
        assert (await failure(server.stub.Embed(embed_request(model="x")))).reason == "MODEL_NOT_FOUND"


async def test_an_unknown_field_is_reported(serve):
    async with serve() as server:
        raw = embed_request().SerializeToString() + bytes([0xF8, 0x7F, 0x01])
        embed = server.channel.unary_unary(
            "/llmproxy.v1.LlmProxyService/Embed", response_deserializer=embed_pb2.EmbedResponse.FromString
        )
        assert [warning.code for warning in (await embed(raw)).warnings] == ["UNKNOWN_FIELD"]


async def test_embed_has_a_limit_of_calls_in_flight_of_its_own(serve):
    async with serve({"grpc": {"listen": "127.0.0.1:0", "predrain": 0, "grace": 5, "max_in_flight": 1}}) as server:
        server.scripted.embeds.append(never)
        waiting = server.stub.Embed(embed_request())
        await until(lambda: server.scripted.embed_requests)
        assert await server.stub.Chat(chat_request())
        error = await failure(server.stub.Embed(embed_request()))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "PROXY_OVERLOADED")
        assert error.info.metadata["method"] == "Embed"
        waiting.cancel()


async def test_cancelling_the_call_cancels_the_provider(serve):
    async with serve() as server:
        server.scripted.embeds.append(never)
        waiting = server.stub.Embed(embed_request())
        await until(lambda: server.scripted.embed_requests)
        waiting.cancel()
        await until(lambda: server.scripted.cancelled)


@pytest.mark.parametrize("count", [0, 1])
async def test_an_answer_may_hold_empty_vectors_and_large_ones(serve, count):
    async with serve() as server:
        server.scripted.embeds.append(EmbedResponse((array("f", [0.25] * 500_000 * count),), USED))
        answer = await server.stub.Embed(embed_request())
        assert len(answer.embeddings[0].values) == 500_000 * count
