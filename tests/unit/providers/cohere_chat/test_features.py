"""What Cohere honours of log probabilities, those of the sampled tokens, and of thinking."""

import json

import pytest

from llmproxy_grpc.messages import GenerationConfig, ReasoningConfig, ReasoningEffort
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
