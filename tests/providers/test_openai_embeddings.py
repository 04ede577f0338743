"""POST /embeddings and counting at servers of Chat Completions: what is asked, and what becomes of every answer."""

import json
from array import array
from base64 import b64encode

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import (
    CapabilityNotSupported,
    ContextLengthExceeded,
    CredentialsRejected,
    ModelNotFound,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamServerError,
)
from llmproxy_grpc.messages import EmbedPurpose, EmbedRequest, FunctionTool, Modality, ModalityTokens, TextPart, Usage
from llmproxy_grpc.providers.openai import OpenAiProvider
from llmproxy_grpc.providers.presets import PRESETS
from tests.fakes.faulty_upstream import Answer, Do
from tests.providers.conversations import ask

QUARTER = b64encode(array("f", [0.25, 0.5]).tobytes()).decode()


def embed(*texts, **fields):
    return EmbedRequest("requested", tuple(TextPart(text=text) for text in texts or ("Hi",)), **fields)


def answer(*data, **fields):
    items = [{"object": "embedding", "embedding": item} if not isinstance(item, dict) else item for item in data]
    return Answer.json(json.dumps({"object": "list", "data": items, **fields}).encode())


def raw(item):
    return Answer.json(b'{"data":[{"index":0,"embedding":%b}]}' % item)


@pytest.fixture
def provider(upstream, http):
    def build(**fields):
        config = {"name": "mine", "kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "test-key"}
        return OpenAiProvider.from_config(ProviderConfig.model_validate({**config, **fields}), http)

    return build


async def test_a_request_goes_to_the_address_with_the_key_and_asks_for_bytes(upstream, provider):
    upstream.script(answer(QUARTER, QUARTER))
    response = await provider(preset="openai").embed(embed("a", "b", dimensions=2, end_user_id="ann"), "m")
    request = upstream.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/embeddings")
    assert request.headers["authorization"] == "Bearer test-key"
    assert request.json() == {
        "model": "m",
        "input": ["a", "b"],
        "encoding_format": "base64",
        "dimensions": 2,
        "user": "ann",
    }
    assert response.vectors == (array("f", [0.25, 0.5]), array("f", [0.25, 0.5]))


async def test_a_server_that_nobody_described_is_asked_for_nothing_but_vectors(upstream, provider):
    upstream.script(answer([0.25, 0.5]))
    await provider().embed(embed("a"), "m")
    assert upstream.requests[0].json() == {"model": "m", "input": ["a"]}


@pytest.mark.parametrize("preset", ["openai", "compatible"])
@pytest.mark.parametrize("sent", [QUARTER, [0.25, 0.5]])
async def test_bytes_and_numbers_are_taken_whatever_was_asked_for(upstream, provider, preset, sent):
    upstream.script(answer(sent))
    response = await provider(preset=preset).embed(embed(), "m")
    assert response.vectors == (array("f", [0.25, 0.5]),)


async def test_vectors_come_in_the_order_of_the_inputs_whatever_the_answers(upstream, provider):
    upstream.script(answer({"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}))
    response = await provider().embed(embed("a", "b"), "m")
    assert [list(vector) for vector in response.vectors] == [[1], [2]]


async def test_vectors_without_numbers_stand_as_they_came(upstream, provider):
    upstream.script(answer([1], [2]))
    response = await provider().embed(embed("a", "b"), "m")
    assert [list(vector) for vector in response.vectors] == [[1], [2]]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(8, 0, 8)),
        ({"total_tokens": 8}, Usage(8, 0, 8)),
        (
            {"prompt_tokens": 8, "total_tokens": 8, "prompt_tokens_details": {"image_tokens": 6}},
            Usage(8, 0, 8, modality_tokens=(ModalityTokens(Modality.IMAGE, 6, 0),)),
        ),
        ({"prompt_tokens": 0, "total_tokens": 0}, None),
        ({"prompt_tokens": -3}, None),
        ({}, None),
        (None, None),
        ("eight", None),
    ],
)
async def test_usage_is_as_told_and_nothing_where_that_cannot_be(upstream, provider, usage, expected):
    upstream.script(answer([1.0], usage=usage))
    assert (await provider().embed(embed(), "m")).usage == expected


async def test_the_request_id_is_the_headers_or_else_the_bodys(upstream, provider):
    body = json.dumps({"id": "emb-1", "data": [{"embedding": [1.0]}]}).encode()
    upstream.script(Answer.json(body, headers={"x-request-id": "req-1"}), Answer.json(body))
    assert (await provider().embed(embed(), "m")).upstream_request_id == "req-1"
    assert (await provider().embed(embed(), "m")).upstream_request_id == "emb-1"


async def test_options_are_merged_and_win_but_never_over_what_is_asked(upstream, provider):
    upstream.script(answer([1.0]))
    options = {"openai": {"truncate": "END"}, "nvidia": {"user": "bob", "input": ["other"]}}
    request = embed("a", end_user_id="ann", provider_options=options)
    await provider(preset="nvidia").embed(request, "m")
    asked = upstream.requests[0].json()
    assert (asked["truncate"], asked["user"], asked["input"]) == ("END", "bob", ["a"])


@pytest.mark.parametrize(
    ("preset", "purpose", "sent"),
    [
        ("nvidia", EmbedPurpose.UNSPECIFIED, "passage"),
        ("nvidia", EmbedPurpose.DOCUMENT, "passage"),
        ("nvidia", EmbedPurpose.QUERY, "query"),
        ("openrouter", EmbedPurpose.UNSPECIFIED, None),
        ("openrouter", EmbedPurpose.DOCUMENT, "search_document"),
        ("openrouter", EmbedPurpose.QUERY, "search_query"),
    ],
)
async def test_a_purpose_is_said_in_the_vendors_words_and_where_it_must_be_always(
    upstream, provider, preset, purpose, sent
):
    upstream.script(answer([1.0]))
    await provider(preset=preset).embed(embed(purpose=purpose), "m")
    assert upstream.requests[0].json().get("input_type") == sent


@pytest.mark.parametrize(
    "bad",
    [
        answer(),
        answer([1.0], [2.0]),
        answer({"index": 1, "embedding": [1.0]}),
        answer({"index": 0, "embedding": None}),
        answer({"index": 0}),
        answer([]),
        answer([[1.0]]),
        answer("not base64!"),
        answer("AAAA"),
        answer(b64encode(array("f", [float("nan")]).tobytes()).decode()),
        raw(b"[NaN]"),
        raw(b"[1e400]"),
        raw(b"[1e39]"),
        raw(b"[" + b"9" * 5000 + b"]"),
        raw(b"[null]"),
        raw(b'["1.0"]'),
        raw(b"[" * 5000),
        Answer.json(b"{}"),
        Answer.json(b"null"),
        Answer.json(b'{"data":{}}'),
        Answer.json(b'{"data":[null]}'),
        Answer.json(b"<html>"),
        Answer.json(b""),
        Answer.json(b'{"data":[{"index":0,"embedding":[1.0'),
        Answer(body=[b'{"data":', Do.EOF], length=100),
    ],
)
async def test_an_answer_that_is_no_vector_for_each_input_is_an_error(upstream, provider, bad):
    upstream.script(bad)
    with pytest.raises(UpstreamProtocolError):
        await provider().embed(embed(), "m")


@pytest.mark.parametrize("indices", [(0, 0), (1, 2), (-1, 0)])
async def test_numbers_that_are_not_those_of_the_inputs_are_an_error(upstream, provider, indices):
    upstream.script(answer(*({"index": index, "embedding": [1.0]} for index in indices)))
    with pytest.raises(UpstreamProtocolError):
        await provider().embed(embed("a", "b"), "m")


async def test_vectors_of_another_length_than_asked_for_are_an_error(upstream, provider):
    upstream.script(answer([1.0, 2.0]))
    with pytest.raises(UpstreamProtocolError):
        await provider().embed(embed(dimensions=1), "m")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b'{"error":{"message":"slow down","code":429}}', UpstreamRateLimited),
        (200, b'{"detail":"it failed"}', UpstreamServerError),
        (500, b'{"error":{"message":"it failed"}}', UpstreamServerError),
        (401, b'{"error":{"message":"no"}}', CredentialsRejected),
        (404, b'{"error":{"message":"The model `m` does not exist","code":"model_not_found"}}', ModelNotFound),
        (400, b'{"error":{"message":"This model\'s maximum context length is 8192 tokens"}}', ContextLengthExceeded),
        (
            500,
            b'{"error":{"code":500,"message":"input (5001 tokens) is too large to process.","type":"server_error"}}',
            ContextLengthExceeded,
        ),
        (
            501,
            b'{"error":{"code":501,"message":"This server does not support embeddings.","type":"not_supported_error"}}',
            CapabilityNotSupported,
        ),
    ],
)
async def test_an_error_is_the_one_that_it_says(upstream, provider, status, body, error):
    upstream.script(Answer.json(body, status=status))
    with pytest.raises(error):
        await provider().embed(embed(), "m")


@pytest.mark.parametrize("preset", ["deepseek", "xai", "perplexity", "cerebras"])
async def test_a_vendor_without_vectors_is_not_asked_for_any(upstream, provider, preset):
    vendor = provider(preset=preset)
    assert vendor.features("m").embed is None
    with pytest.raises(CapabilityNotSupported):
        await vendor.embed(embed(), "m")
    assert upstream.requests == []


async def test_what_a_vendor_takes_is_among_its_features(provider):
    assert provider(preset="openai").features("m").embed.dimensions
    assert not provider(preset="groq").features("m").embed.dimensions
    assert provider(preset="nvidia").features("m").embed.purposes == {EmbedPurpose.DOCUMENT, EmbedPurpose.QUERY}
    assert provider(preset="openai").features("m").embed.most_inputs == 2048
    assert provider(quirks={"max_embed_inputs": 7}).features("m").embed.most_inputs == 7


@pytest.mark.parametrize(
    ("preset", "base", "path", "body"),
    [
        ("llama-cpp", "/v1", "/v1/chat/completions/input_tokens", b'{"input_tokens":37}'),
        ("vllm", "/v1", "/tokenize", b'{"count":37,"max_model_len":4096,"tokens":[1,2,3]}'),
        ("vllm", "/models/qwen/v1/", "/models/qwen/tokenize", b'{"count":37,"tokens":[1,2,3]}'),
        ("vllm", "", "/tokenize", b'{"count":37}'),
    ],
)
async def test_tokens_are_counted_of_the_very_request_that_chat_would_send(
    upstream, provider, preset, base, path, body
):
    upstream.script(Answer.json(body))
    server = provider(preset=preset, base_url=f"{upstream.url}{base}")
    conversation = ask("Hi", tools=(FunctionTool("add", parameters_json_schema='{"type":"object"}'),))
    assert server.features("m").count_tokens
    assert await server.count_tokens(conversation, "m") == 37
    await server.chat(conversation, "m")
    counted, answered = upstream.requests
    assert counted.path == path
    assert counted.json() == answered.json()
    assert counted.headers["authorization"] == "Bearer test-key"


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_that_is_too_old_to_count_says_that_it_cannot(upstream, provider, status):
    upstream.script(Answer.json(b'{"error":{"message":"File Not Found"}}', status=status))
    with pytest.raises(CapabilityNotSupported):
        await provider(preset="llama-cpp").count_tokens(ask(), "m")


@pytest.mark.parametrize("body", [b"{}", b'{"input_tokens":0}', b'{"input_tokens":-1}', b'{"count":"37"}', b"[]", b"x"])
async def test_a_count_that_cannot_be_is_an_error(upstream, provider, body):
    upstream.script(Answer.json(body))
    with pytest.raises(UpstreamProtocolError):
        await provider(preset="llama-cpp").count_tokens(ask(), "m")


async def test_a_prompt_that_is_too_long_to_count_is_the_callers_to_shorten(upstream, provider):
    upstream.script(Answer.json(b'{"error":{"message":"the context length is 4096"}}', status=400))
    with pytest.raises(ContextLengthExceeded):
        await provider(preset="vllm").count_tokens(ask(), "m")


async def test_most_vendors_count_nothing(upstream, provider):
    counting = {name for name, preset in PRESETS.items() if preset.quirks.count_path}
    assert counting == {"vllm", "llama-cpp"}
    with pytest.raises(CapabilityNotSupported):
        await provider().count_tokens(ask(), "m")
    assert upstream.requests == []
