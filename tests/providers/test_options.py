"""What a call's own options change of a request, for every kind."""

from typing import Any

import pytest

from llmproxy_grpc.messages import GenerationConfig, JsonSchemaFormat, ReasoningConfig, ReasoningEffort
from llmproxy_grpc.providers.http import HttpClient
from tests.fakes.faulty_upstream import FaultyUpstream
from tests.providers.conversations import ask, collected
from tests.providers.http_kind import HttpKind
from tests.providers.kinds import HTTP_KINDS

CONFIG = GenerationConfig(
    max_output_tokens=7, stop_sequences=("END",), response_format=JsonSchemaFormat("n", '{"type":"object"}')
)
SCHEMA = {"type": "object"}
ADDED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "anthropic": (
        {"output_config": {"effort": "low"}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}},
    ),
    "azure": ({"stream_options": {"x": 1}}, {"stream_options": {"include_usage": True, "x": 1}}),
    "bedrock": (
        {"inferenceConfig": {"topP": 0.5}, "toolConfig": {"x": 1}},
        {"inferenceConfig": {"maxTokens": 7, "stopSequences": ["END"], "topP": 0.5}, "toolConfig": {"x": 1}},
    ),
    "cohere": (
        {"response_format": {"type": "json_object", "x": 1}},
        {"response_format": {"type": "json_object", "json_schema": SCHEMA, "x": 1}},
    ),
    "gemini": (
        {"generationConfig": {"mediaResolution": "LOW", "maxOutputTokens": 8.0}},
        {
            "generationConfig": {
                "maxOutputTokens": 8,
                "stopSequences": ["END"],
                "responseMimeType": "application/json",
                "responseJsonSchema": SCHEMA,
                "mediaResolution": "LOW",
            }
        },
    ),
    "mistral": (
        {"response_format": {"x": 1, "json_schema": {"name": "other"}}},
        {"response_format": {"type": "json_schema", "x": 1, "json_schema": {"name": "other"}}},
    ),
    "ollama": (
        {"options": {"num_ctx": 8192.0}},
        {"options": {"num_predict": 7, "stop": ["END"], "num_ctx": 8192}, "format": SCHEMA},
    ),
    "openai": (
        {"stream_options": {"include_obfuscation": False}, "response_format": {"type": "text"}},
        {
            "stream_options": {"include_usage": True, "include_obfuscation": False},
            "response_format": {"type": "text"},
        },
    ),
    "responses": (
        {"text": {"verbosity": "low"}},
        {
            "text": {
                "format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": False},
                "verbosity": "low",
            }
        },
    ),
}


async def sent(kind: HttpKind, upstream: FaultyUpstream, http: HttpClient, config: GenerationConfig, **own: Any) -> Any:
    provider = await kind.provider(upstream, http)
    upstream.handler = kind.respond
    request = ask(generation=config, provider_options={kind.kind: own})
    await collected(provider.stream(provider.adapt(request, kind.model).request, kind.model))
    return upstream.requests[-1].json()


@pytest.mark.parametrize("kind", HTTP_KINDS, ids=lambda kind: kind.name)
async def test_an_object_adds_to_what_the_request_sets(kind, upstream, http):
    options, merged = ADDED[kind.name]
    body = await sent(kind, upstream, http, CONFIG, **options)
    assert {name: body.get(name) for name in merged} == merged


@pytest.mark.parametrize("kind", HTTP_KINDS, ids=lambda kind: kind.name)
async def test_one_call_s_options_are_not_in_the_next(kind, upstream, http):
    before = await sent(kind, upstream, http, CONFIG)
    await sent(kind, upstream, http, CONFIG, **ADDED[kind.name][0])
    assert await sent(kind, upstream, http, CONFIG) == before


async def test_an_object_of_another_type_takes_the_place_of_ours(upstream, http):
    kinds = {kind.name: kind for kind in HTTP_KINDS}
    body = await sent(kinds["openai"], upstream, http, CONFIG, response_format={"type": "json_object"})
    assert body["response_format"] == {"type": "json_object"}
    thinks = GenerationConfig(max_output_tokens=9000, reasoning=ReasoningConfig(ReasoningEffort.LOW))
    body = await sent(kinds["anthropic"], upstream, http, thinks, thinking={"type": "adaptive"})
    assert body["thinking"] == {"type": "adaptive"}
