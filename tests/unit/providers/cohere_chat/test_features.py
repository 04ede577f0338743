"""What Cohere honours of log probabilities, those of the sampled tokens, and of thinking."""

import json

import pytest
from msgspec.structs import replace

from llmproxy_grpc.messages import FunctionTool, GenerationConfig, ProviderTool, ReasoningConfig, ReasoningEffort
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
