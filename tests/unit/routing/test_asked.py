"""What a request needs, by the words of the configuration, and conditions on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.config.schema import Condition
from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedRequest,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    MediaKind,
    MediaPart,
    Message,
    ReasoningConfig,
    ReasoningEffort,
    Role,
    TextPart,
    ToolResultPart,
)
from llmproxy_grpc.routing.asked import Asked
from llmproxy_grpc.routing.conditions import meets
from llmproxy_grpc.routing.operations import CHAT, EMBED


def asked(*parts, labels=None, tools=(), **generation):
    message = Message(Role.USER, parts or (TextPart(text="Hi"),))
    settings = GenerationConfig(**generation)
    return Asked(CHAT, ChatRequest("m", (message,), tools, labels=labels or {}, generation=settings))


def media(kind):
    return MediaPart(kind=kind, data=b"x", media_type="x/y")


def test_a_plain_question_needs_nothing():
    assert asked().needs == frozenset()


@pytest.mark.parametrize(
    ("request_", "need"),
    [
        (asked(tools=(FunctionTool("f"),)), "tools"),
        (asked(response_format=JsonSchemaFormat("s", "{}")), "json_schema"),
        (asked(reasoning=ReasoningConfig(effort=ReasoningEffort.LOW)), "reasoning"),
        (asked(reasoning=ReasoningConfig(budget_tokens=100)), "reasoning"),
        (asked(media(MediaKind.IMAGE)), "vision"),
        (asked(media(MediaKind.AUDIO)), "audio"),
        (asked(media(MediaKind.VIDEO)), "video"),
        (asked(media(MediaKind.DOCUMENT)), "documents"),
        (asked(ToolResultPart(tool_call_id="1", content=(media(MediaKind.IMAGE),))), "vision"),
        (Asked(EMBED, EmbedRequest("m", (media(MediaKind.IMAGE),))), "vision"),
    ],
)
def test_what_a_request_needs(request_, need):
    assert request_.needs == {need}
    assert meets(request_, Condition(capabilities=(need,)))
    assert not meets(asked(), Condition(capabilities=(need,)))


@pytest.mark.parametrize(
    "reasoning",
    [ReasoningConfig(), ReasoningConfig(effort=ReasoningEffort.NONE), ReasoningConfig(include=True, budget_tokens=0)],
)
def test_no_thinking_needs_no_thinker(reasoning):
    assert asked(reasoning=reasoning).needs == frozenset()


def test_any_json_needs_no_schema():
    assert asked(response_format=JsonObjectFormat()).needs == frozenset()


def test_every_capability_named_must_be_needed():
    both = Condition(capabilities=("tools", "vision"))
    assert not meets(asked(tools=(FunctionTool("f"),)), both)
    assert meets(asked(media(MediaKind.IMAGE), tools=(FunctionTool("f"),)), both)


def test_labels_must_be_there_with_their_values():
    gold = Condition(labels={"tier": "gold", "team": "x"})
    assert meets(asked(labels={"tier": "gold", "team": "x", "more": "1"}), gold)
    for labels in ({}, {"tier": "gold"}, {"tier": "Gold", "team": "x"}, {"tier": "", "team": "x"}):
        assert not meets(asked(labels=labels), gold)


@given(size=st.integers(0, 2000), least=st.integers(1, 500), most=st.integers(1, 500))
def test_the_bounds_of_the_prompt_are_included(size, least, most):
    request = asked(TextPart(text="x" * size))
    fits = least <= request.prompt_tokens <= most
    if least <= most:
        assert meets(request, Condition(min_prompt_tokens=least, max_prompt_tokens=most)) == fits
    assert meets(request, Condition(min_prompt_tokens=least)) == (least <= request.prompt_tokens)
    assert meets(request, Condition(max_prompt_tokens=most)) == (request.prompt_tokens <= most)


def test_an_empty_condition_is_met_by_every_call():
    assert meets(asked(), Condition())


def test_bounds_that_no_prompt_can_meet_are_a_fault():
    with pytest.raises(ValueError, match="no prompt has at least min_prompt_tokens"):
        Condition(min_prompt_tokens=10, max_prompt_tokens=9)
