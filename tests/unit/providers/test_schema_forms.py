"""Schemas of functions that a provider refuses: named before they are sent."""

import pytest

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import FunctionTool, ToolChoice
from llmproxy_grpc.providers import registry
from llmproxy_grpc.providers.anthropic_messages.features import adapt_messages
from llmproxy_grpc.providers.converse.features import adapt_converse
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Adapted
from llmproxy_grpc.providers.schema_forms import ANY_SCHEMA, FLAT_SCHEMA, OBJECT_SCHEMA, SINGLE_SCHEMA
from tests.providers.conversations import ask

PLAIN = (
    "",
    "{}",
    '{"properties": {"a": {"anyOf": [{"type": "string"}, {"enum": [1]}]}}}',
    '{"type":"object","properties":{},"$defs":{"a":{"oneOf":[]}}}',
    '{"$ref": "#/$defs/a", "properties": {}}',
)
UNIONS = ('{"oneOf": []}', '{"type": "object", "properties": {}, "anyOf": [{}]}', '{"allOf": [{"properties": {}}]}')
REFERENCES = ('{"$ref": "#/$defs/a", "$defs": {"a": {}}}', '{"type":"object","$dynamicRef":"#a"}')
CONSTANTS = ('{"enum": [{}]}', '{"type":"object","const":{}}', '{"not": {}}')
OTHERS = ('{"type": "array"}', '{"type": ["object", "null"]}', '{"type": "string", "properties": {}}')
UNION = FunctionTool("f", parameters_json_schema=UNIONS[1])
FIELD = "tools[1].function.parameters_json_schema"


@pytest.mark.parametrize(
    ("form", "refused"),
    [
        (ANY_SCHEMA, ()),
        (OBJECT_SCHEMA, OTHERS),
        (SINGLE_SCHEMA, (*OTHERS, *UNIONS)),
        (FLAT_SCHEMA, (*OTHERS, *UNIONS, *REFERENCES, *CONSTANTS)),
    ],
)
def test_a_form_objects_to_what_does_not_fit(form, refused):
    for schema in (*PLAIN, *UNIONS, *REFERENCES, *CONSTANTS, *OTHERS):
        assert bool(form.objection(schema)) is (schema in refused), schema


async def adapted_by(kind: str, model: str, **config: str) -> Adapted:
    http = HttpClient(connect_timeout=1)
    fields = {"name": "x", "kind": kind, "api_key": "test-key", "base_url": "https://x.test", **config}
    if kind == "openai":
        fields |= {"base_url": None}
    provider = registry.build(ProviderConfig.model_validate(fields), http)
    adapted = provider.adapt(request(), model)
    await http.aclose()
    return adapted


def request():
    return ask(tools=(FunctionTool("g"), UNION), tool_choice=ToolChoice(function_name="g"))


@pytest.mark.parametrize(
    ("kind", "config", "model", "refused"),
    [
        # By Chat Completions no model of OpenAI's takes one, whatever a deployment is called.
        ("openai", {}, "gpt-5.6", True),
        ("openai", {}, "gpt-4.1", True),
        ("openai", {}, "model-of-the-future", True),
        ("azure", {}, "prod", True),
        # By the Responses API the newer ones do.
        ("openai", {"api": "responses"}, "gpt-5.6", False),
        ("openai", {"api": "responses"}, "gpt-4o-mini", True),
        ("openai", {"api": "responses"}, "gpt-3.5-turbo", True),
        ("openai", {"api": "responses"}, "o4-mini", True),
        ("openai", {"api": "responses"}, "model-of-the-future", False),
        ("azure", {"api": "responses"}, "prod", False),
        ("azure", {"api": "responses"}, "gpt-4.1", True),
        ("openai", {"preset": "groq"}, "gpt-4.1", False),
        ("mistral", {}, "mistral-large-latest", False),
        ("cohere", {}, "command-a", False),
    ],
)
async def test_a_function_whose_schema_is_a_union_is_named_where_it_would_be_refused(kind, config, model, refused):
    adapted = await adapted_by(kind, model, **config)
    assert [found.field for found in adapted.unsupported if "schema" in found.field] == [FIELD] * refused
    assert len(adapted.request.tools) == 2 - refused


@pytest.mark.parametrize(("model", "refused"), [("claude-opus-4-7", True), ("claude-3-haiku", True), ("qwen3", False)])
def test_claude_takes_no_union_and_open_models_may(model, refused):
    assert [found.field for found in adapt_messages(request(), model).unsupported] == [FIELD] * refused


@pytest.mark.parametrize(
    ("model", "refused"),
    [
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("amazon.nova-pro-v1:0", False),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", False),
    ],
)
def test_at_bedrock_claude_takes_no_union_either_and_nobody_what_is_no_object(model, refused):
    assert [found.field for found in adapt_converse(request(), model).unsupported] == [FIELD] * refused
    array = ask(tools=(FunctionTool("f", parameters_json_schema='{"type": "array"}'),))
    assert [found.field for found in adapt_converse(array, model).unsupported] == [FIELD.replace("1", "0")]
