"""What Cohere honours of settings: of log probabilities those of the sampled tokens, of numbers those in its ranges."""

import json

import pytest
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
)
from llmproxy_grpc.providers.cohere_chat.features import adapt_chat
from llmproxy_grpc.providers.cohere_chat.request import encode_request
from tests.providers.conversations import ask


@pytest.mark.parametrize(("asked", "named"), [(None, []), (0, []), (3, ["generation.top_logprobs"])])
def test_alternatives_to_sampled_tokens_are_named(asked, named):
    adapted = adapt_chat(ask(generation=GenerationConfig(top_logprobs=asked)), "command-a")
    assert [found.field for found in adapted.unsupported] == named
    sent = json.loads(encode_request(adapted.request, "command-a", stream=False))
    assert sent.get("logprobs") is (None if asked is None else True)


@pytest.mark.parametrize(
    ("wanted", "thinking", "named"),
    [
        (ReasoningConfig(ReasoningEffort.NONE), {"type": "disabled"}, []),
        (ReasoningConfig(ReasoningEffort.NONE, budget_tokens=9), {"type": "disabled"}, []),
        (ReasoningConfig(budget_tokens=9), {"type": "enabled", "token_budget": 9}, []),
        (ReasoningConfig(budget_tokens=0), {"type": "disabled"}, []),
        (ReasoningConfig(ReasoningEffort.LOW), None, ["generation.reasoning.effort"]),
        (ReasoningConfig(include=False), None, []),
    ],
)
def test_thinking_can_be_turned_off_or_have_a_budget_and_no_effort_else(wanted, thinking, named):
    adapted = adapt_chat(ask(generation=GenerationConfig(reasoning=wanted)), "command-a-reasoning")
    assert [found.field for found in adapted.unsupported] == named
    assert json.loads(encode_request(adapted.request, "m", stream=False)).get("thinking") == thinking


DEMANDS = '{"type": "object", "properties": {"n": {}}, "required": ["n"]}'


@pytest.mark.parametrize("other", ["", "{}", '{"required": []}', '{"properties": {"n": {}}}', "[]"])
def test_functions_are_held_to_their_schemas_only_where_each_demands_an_argument(other):
    held, free = FunctionTool("f", "", DEMANDS, strict=True), FunctionTool("g", "", DEMANDS)
    assert adapt_chat(ask(tools=(held, free)), "command-a").request.tools == (held, free)
    foreign = ProviderTool("another", "t", {})
    bare = FunctionTool("h", "", other)
    for tools in ((foreign, held, bare), (foreign, replace(bare, strict=True))):
        adapted = adapt_chat(ask(tools=tools), "command-a")
        assert [found.field for found in adapted.unsupported] == ["tools[0].provider", "tools[1].function.strict"]
        assert adapted.request.tools == tuple(replace(tool, strict=None) for tool in tools[1:])
    assert adapt_chat(ask(tools=(bare,)), "command-a").unsupported == ()


@pytest.mark.parametrize(
    ("name", "taken", "refused"),
    [
        ("top_k", (0, 500), (501, 2**31 - 1)),
        ("presence_penalty", (0, 1), (-2, -0.1, 1.1, 2)),
        ("frequency_penalty", (0, 1), (-2, -0.1, 1.1, 2)),
    ],
)
def test_values_out_of_coheres_ranges_are_named(name, taken, refused):
    for value in (*taken, *refused):
        adapted = adapt_chat(ask(generation=GenerationConfig(**{name: value}, seed=1)), "command-a")
        assert [found.field for found in adapted.unsupported] == [f"generation.{name}"] * (value in refused)
        assert adapted.request.generation == GenerationConfig(**{name: value} if value in taken else {}, seed=1)


@pytest.mark.parametrize(
    ("form", "name"), [(JsonObjectFormat(), "json_object"), (JsonSchemaFormat("", "{}"), "json_schema")]
)
def test_no_answer_is_bound_to_json_beside_tools(form, name):
    config = GenerationConfig(response_format=form)
    for tools, named in (((FunctionTool("f"),), [f"generation.response_format.{name}"]), ((), [])):
        adapted = adapt_chat(ask(generation=config, tools=tools), "command-a")
        assert [found.field for found in adapted.unsupported] == named
        assert (adapted.request.generation.response_format is None) is bool(named)


@pytest.mark.parametrize(("asked", "sent"), [(0, 0.01), (0.01, 0.01), (0.5, 0.5), (0.99, 0.99), (1, 0.99)])
def test_a_top_p_is_the_nearest_that_cohere_takes(asked, sent):
    adapted = adapt_chat(ask(generation=GenerationConfig(top_p=asked)), "command-a")
    assert adapted.request.generation == GenerationConfig(top_p=sent)
    assert adapted.unsupported == ()
    assert [change.field for change in adapted.changes] == ["generation.top_p"] * (asked != sent)
