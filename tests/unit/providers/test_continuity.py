"""Continuity tokens come back through callers' hands, who may send anything in their place."""

import pytest

from llmproxy_grpc.messages import ReasoningPart, ToolCallPart
from llmproxy_grpc.providers.anthropic_messages.extra_fields import call_token, extra_fields_of
from llmproxy_grpc.providers.continuity import fields_of, hidden_token, thinking_of
from llmproxy_grpc.providers.thinking_tokens import hidden_token as hidden_thought
from llmproxy_grpc.providers.thinking_tokens import thought_of

DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000


@pytest.mark.parametrize("document", [DEEP, b"", b"{", b"null", b"[]", b'{"a":\xff}'])
def test_a_token_that_cannot_be_read_is_none(document):
    assert fields_of(document) == {}
    mark = hidden_thought("x", "y")[:2]
    assert thought_of(ReasoningPart(text="", continuity_token=mark + document)) is None
    mark = call_token(caller={}, toolset="t").partition(b"{")[0]
    assert extra_fields_of(ToolCallPart(id="c", name="f", arguments_json="", continuity_token=mark + document)) == {}


def test_hidden_thinking_comes_back_and_what_was_seen_wins():
    token = hidden_token("Hm, \ud83e\udd9c.")
    assert thinking_of(ReasoningPart(text="", redacted=True, continuity_token=token)) == "Hm, \U0001f99c."
    assert thinking_of(ReasoningPart(text="Seen.", continuity_token=token)) == "Seen."
    assert hidden_token("") == b""


@pytest.mark.parametrize("token", [DEEP, b"thinking:x", b'{"hidden_thinking":1}', b'{"reasoning_details":[]}'])
def test_what_is_no_hidden_thinking_is_none(token):
    assert thinking_of(ReasoningPart(text="", redacted=True, continuity_token=token)) == ""
