"""Tools in the shape of Chat Completions."""

import msgspec
import pytest

from llmproxy_grpc.messages import FunctionTool, ProviderTool
from llmproxy_grpc.providers.tools import parameters_of, tool_json

SCHEMA = '{"type": "object",  "properties": {"n": {"maximum": 1e400}}}'


def encoded(tool, **how) -> str:
    return msgspec.json.encode(tool_json(tool, **how)).decode()


def test_a_schema_arrives_to_the_byte():
    assert encoded(FunctionTool(name="f", description="adds", parameters_json_schema=SCHEMA)) == (
        '{"type":"function","function":{"name":"f","description":"adds","parameters":' + SCHEMA + "}}"
    )


def test_a_function_without_a_schema_has_no_arguments_and_says_so():
    none = {"type": "object", "properties": {}}
    assert tool_json(FunctionTool(name="f")) == {"type": "function", "function": {"name": "f", "parameters": none}}


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ('{"type":"object"}', '{"properties":{},"type":"object"}'),
        (' { "description": "d" }', ' {"type":"object","properties":{}, "description": "d" }'),
        ('{"properties":{"n":{"const":1e400}}}', '{"type":"object","properties":{"n":{"const":1e400}}}'),
        ('{"type":"object","additionalProperties":{}}', '{"properties":{},"type":"object","additionalProperties":{}}'),
        ('{"$ref":"#/$defs/A","$defs":{"A":{}}}', '{"type":"object","$ref":"#/$defs/A","$defs":{"A":{}}}'),
        ('{"type":"object","anyOf":[{}]}', '{"type":"object","anyOf":[{}]}'),
        ('{"type":["object","null"]}', '{"type":["object","null"]}'),
    ],
)
def test_what_goes_without_saying_in_a_schema_is_said(schema, sent):
    assert encoded(FunctionTool(name="f", parameters_json_schema=schema)) == (
        '{"type":"function","function":{"name":"f","parameters":' + sent + "}}"
    )


@pytest.mark.parametrize("schema", ["{}", " { } "])
def test_a_schema_that_says_nothing_is_none(schema):
    for strict in (None, True):
        tool = FunctionTool(name="f", parameters_json_schema=schema, strict=strict)
        assert parameters_of(tool) == parameters_of(FunctionTool(name="f", strict=strict))


def test_a_strict_function_without_a_schema_forbids_every_argument():
    tool = FunctionTool(name="f", strict=True)
    assert parameters_of(tool) == {"type": "object", "properties": {}, "additionalProperties": False}


@pytest.mark.parametrize("strict", [True, False])
def test_strictness_goes_to_apis_that_take_it_tool_by_tool(strict):
    tool = FunctionTool(name="f", strict=strict)
    assert tool_json(tool, strict=True)["function"]["strict"] is strict
    assert "strict" not in tool_json(tool)["function"]
    assert "strict" not in tool_json(FunctionTool(name="f"), strict=True)["function"]


def test_a_tool_of_the_providers_own_is_its_settings():
    tool = ProviderTool(provider_kind="cohere", type="web_search", config={"max_uses": 3.0, "deep": True})
    assert encoded(tool) == '{"type":"web_search","max_uses":3,"deep":true}'
