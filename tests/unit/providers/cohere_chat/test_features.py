"""What Cohere honours of log probabilities: those of the sampled tokens."""

import json

import pytest

from llmproxy_grpc.messages import GenerationConfig
from llmproxy_grpc.providers.cohere_chat.features import adapt_chat
from llmproxy_grpc.providers.cohere_chat.request import encode_request
from tests.providers.conversations import ask


@pytest.mark.parametrize(("asked", "named"), [(None, []), (0, []), (3, ["generation.top_logprobs"])])
def test_alternatives_to_sampled_tokens_are_named(asked, named):
    adapted = adapt_chat(ask(generation=GenerationConfig(top_logprobs=asked)), "command-a")
    assert [found.field for found in adapted.unsupported] == named
    sent = json.loads(encode_request(adapted.request, "command-a", stream=False))
    assert sent.get("logprobs") is (None if asked is None else True)
