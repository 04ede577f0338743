"""What providers answer where tokens are counted or vectors made: numbers that can be, or the provider's fault."""

import json
from typing import Any

import pytest

from llmproxy_grpc._gen.v1 import embed_pb2, model_pb2
from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import EmbedRequest, RoutingPolicy, TextPart
from llmproxy_grpc.providers import registry
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.grpc_scripts import upstream_and_provider

TWO = EmbedRequest("m", (TextPart(text="a"), TextPart(text="b")))
COUNTING = {
    "anthropic": ({"kind": "anthropic"}, "claude-opus-4-7", '{"input_tokens":%s}'),
    "gemini": ({"kind": "gemini"}, "gemini-3-pro", '{"totalTokens":%s}'),
    "vertex": ({"kind": "gemini", "project": "p"}, "gemini-3-pro", '{"totalTokens":%s}'),
    "bedrock": ({"kind": "bedrock", "region": "x"}, "anthropic.claude-sonnet-4-5", '{"inputTokens":%s}'),
    "responses": ({"kind": "openai", "preset": "openai", "api": "responses"}, "gpt-5", '{"input_tokens":%s}'),
    "vllm": ({"kind": "openai", "preset": "vllm"}, "m", '{"count":%s}'),
    "llama-cpp": ({"kind": "openai", "preset": "llama-cpp"}, "m", '{"input_tokens":%s}'),
}


def provider(http: Any, upstream: Any, **config: Any) -> Any:
    return registry.build(ProviderConfig(name="p", base_url=upstream.url, api_key="test-key", **config), http)


@pytest.mark.parametrize("kind", COUNTING)
async def test_a_count_is_one_within_32_bits(upstream, http, kind):
    config, model, body = COUNTING[kind]
    for told, counted in [("3", 3), ("3.0", 3), ("2147483648", 2**31 - 1), ("9" * 24, 2**31 - 1)]:
        upstream.script(Answer.json((body % told).encode()))
        assert await provider(http, upstream, **config).count_tokens(ask(), model) == counted


@pytest.mark.parametrize("told", ["0", "-3", "null", '"7"', "true", "[]", "NaN", "1e400"])
@pytest.mark.parametrize("kind", COUNTING)
async def test_what_no_prompt_has_is_no_count(upstream, http, kind, told):
    config, model, body = COUNTING[kind]
    upstream.script(Answer.json((body % told).encode()))
    with pytest.raises(UpstreamProtocolError):
        await provider(http, upstream, **config).count_tokens(ask(), model)


@pytest.mark.parametrize("told", [0, -3])
async def test_nor_is_it_of_another_proxy(told):
    answer = model_pb2.CountTokensResponse(input_tokens=told, source="USAGE_SOURCE_PROVIDER")
    async with upstream_and_provider([answer]) as (_, far):
        with pytest.raises(UpstreamProtocolError):
            await far.count_tokens(ask(), "m")


@pytest.mark.parametrize(
    "vectors", [[[1, 2], [1]], [[], []], [[1, float("nan")], [1, 2]], [[1, 2], [float("-inf"), 2]], [[1, 2]] * 3]
)
async def test_vectors_of_another_proxy_are_looked_at_as_those_of_others(vectors):
    answer = embed_pb2.EmbedResponse(embeddings=[embed_pb2.Embedding(values=values) for values in vectors])
    async with upstream_and_provider([answer]) as (_, far):
        with pytest.raises(UpstreamProtocolError):
            await far.embed(TWO, "m")


@pytest.mark.parametrize("drop", [False, True])
async def test_another_proxy_keeps_to_the_length_or_says_that_it_does_not(drop):
    answer = embed_pb2.EmbedResponse(embeddings=[embed_pb2.Embedding(values=[1, 2])] * 2)
    asked = EmbedRequest("m", TWO.inputs, dimensions=3, routing=RoutingPolicy(drop_unsupported=drop))
    async with upstream_and_provider([answer]) as (_, far):
        if drop:  # its own target may make vectors of one length alone
            assert [list(vector) for vector in (await far.embed(asked, "m")).vectors] == [[1, 2]] * 2
        else:
            with pytest.raises(UpstreamProtocolError):
                await far.embed(asked, "m")


async def test_cohere_means_numbers_where_it_sends_vectors(upstream, http):
    body = {"embeddings": {"float": [[True, False], [1, 2]]}}
    upstream.script(Answer.json(json.dumps(body).encode()))
    with pytest.raises(UpstreamProtocolError):
        await provider(http, upstream, kind="cohere").embed(TWO, "embed-v4.0")


async def test_tokens_that_are_added_up_stay_within_32_bits(upstream, http):
    vector = {"embeddings": {"values": [1], "statistics": {"token_count": 2**31 - 1}}}
    upstream.script(Answer.json(json.dumps({"predictions": [vector, vector]}).encode()))
    vertex = provider(http, upstream, kind="gemini", project="p")
    assert (await vertex.embed(TWO, "text-embedding-005")).usage.input_tokens == 2**31 - 1
