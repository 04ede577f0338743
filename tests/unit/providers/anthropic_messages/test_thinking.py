"""Thinking within what the API allows: never a refusal that could be foreseen, and nothing changed without a word."""

import json
from typing import Any

import pytest

from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    Message,
    ReasoningConfig,
    ReasoningEffort,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers.anthropic_messages.features import adapt_messages
from llmproxy_grpc.providers.anthropic_messages.request import encode_request
from llmproxy_grpc.providers.thinking_tokens import signature_token
from tests.providers.conversations import ask

OLD, SIX, SEVEN, FIVE = "claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-7", "claude-opus-5"
BETWEEN, ALWAYS, ALWAYS_FREE, OTHER = "claude-sonnet-5-5", "claude-fable-5", "claude-opus-5-5", "qwen3"
THINK = ReasoningConfig(ReasoningEffort.HIGH)
DISABLED = {"thinking": {"type": "disabled"}}
CALL = ToolCallPart(id="c", name="f", arguments_json="{}")
THOUGHT = ReasoningPart(text="Hm.", continuity_token=signature_token("sig"))


def thinking(config: ReasoningConfig | None, **fields: Any) -> ChatRequest:
    settings = fields.pop("settings", {})
    return ask(generation=GenerationConfig(reasoning=config, **settings), **fields)


def sent(request: ChatRequest, model: str) -> dict[str, Any]:
    """What of the body is about thinking."""
    body = json.loads(encode_request(adapt_messages(request, model).request, model, stream=False))
    return {name: body[name] for name in ("thinking", "output_config") if name in body}


def named(request: ChatRequest, model: str) -> tuple[list[str], list[str]]:
    adapted = adapt_messages(request, model)
    return [found.field for found in adapted.unsupported], [change.field for change in adapted.changes]


def enabled(budget: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def adaptive(effort: str, **more: str) -> dict[str, Any]:
    return {"thinking": {"type": "adaptive", **more}, "output_config": {"effort": effort}}


@pytest.mark.parametrize(
    ("model", "config", "expected"),
    [
        (OLD, None, {}),
        (OLD, ReasoningConfig(), {}),
        (OLD, ReasoningConfig(ReasoningEffort.NONE), {}),
        (OLD, ReasoningConfig(ReasoningEffort.NONE, budget_tokens=5000), {}),
        (OLD, ReasoningConfig(ReasoningEffort.MINIMAL), enabled(1024)),
        (OLD, ReasoningConfig(ReasoningEffort.LOW), enabled(2048)),
        (OLD, ReasoningConfig(ReasoningEffort.MAX), enabled(31_999)),
        (OLD, ReasoningConfig(budget_tokens=5000), enabled(5000)),
        (OLD, ReasoningConfig(ReasoningEffort.LOW, budget_tokens=5000), enabled(2048)),
        (SIX, ReasoningConfig(budget_tokens=5000), enabled(5000)),
        (SIX, ReasoningConfig(ReasoningEffort.HIGH, budget_tokens=5000), enabled(5000)),
        (SIX, ReasoningConfig(ReasoningEffort.XHIGH), adaptive("high")),
        (SIX, ReasoningConfig(ReasoningEffort.MAX), adaptive("max")),
        (SEVEN, ReasoningConfig(ReasoningEffort.XHIGH), adaptive("xhigh", display="summarized")),
        (SEVEN, ReasoningConfig(ReasoningEffort.MINIMAL, include=False), adaptive("low")),
        (SEVEN, ReasoningConfig(ReasoningEffort.NONE), {}),
        (SEVEN, ReasoningConfig(include=True), {}),
        (FIVE, ReasoningConfig(include=True), {"thinking": {"type": "adaptive", "display": "summarized"}}),
        (FIVE, ReasoningConfig(include=False), {}),
        (FIVE, ReasoningConfig(ReasoningEffort.NONE), DISABLED),
        (BETWEEN, ReasoningConfig(ReasoningEffort.NONE), {"thinking": {"type": "between_tools"}}),
        (ALWAYS, ReasoningConfig(ReasoningEffort.NONE), adaptive("low", display="summarized")),
        (OTHER, ReasoningConfig(ReasoningEffort.NONE), DISABLED),
        (OTHER, ReasoningConfig(include=True), {}),
        ("claude-3-haiku", ReasoningConfig(ReasoningEffort.NONE), {}),
    ],
)
def test_how_much_to_think_is_said_as_the_model_wants_it(model, config, expected):
    assert sent(thinking(config), model) == expected


def test_a_model_that_always_thinks_says_so_when_it_is_told_not_to():
    assert named(thinking(ReasoningConfig(ReasoningEffort.NONE)), ALWAYS) == ([], ["generation.reasoning.effort"])


def test_newer_models_take_no_budget():
    config = ReasoningConfig(budget_tokens=2000)
    assert named(thinking(config), SEVEN) == (["generation.reasoning.budget_tokens"], [])
    assert sent(thinking(config), SEVEN) == {}


def test_a_budget_by_effort_leaves_room_for_the_answer():
    config = ReasoningConfig(ReasoningEffort.MAX)
    assert sent(thinking(config, settings={"max_output_tokens": 3000}), OLD) == enabled(1500)
    assert sent(thinking(config, settings={"max_output_tokens": 1025}), OLD) == enabled(1024)


@pytest.mark.parametrize(("asked", "limit", "given"), [(5, None, 1024), (9000, 3000, 2999), (2000, 3000, 2000)])
def test_a_budget_is_kept_within_the_limits_and_the_caller_is_told(asked, limit, given):
    request = thinking(ReasoningConfig(budget_tokens=asked), settings={"max_output_tokens": limit})
    assert sent(request, OLD) == enabled(given)
    assert named(request, OLD) == ([], [] if asked == given else ["generation.reasoning.budget_tokens"])


def test_a_budget_beyond_the_models_own_limit_is_kept_within_it():
    request = thinking(ReasoningConfig(budget_tokens=100_000))
    assert sent(request, OLD) == enabled(63_999)
    assert named(request, OLD) == ([], ["generation.reasoning.budget_tokens"])


def test_where_nobody_knows_the_limit_there_is_room_behind_a_budget():
    request = thinking(ReasoningConfig(budget_tokens=100_000))
    body = json.loads(encode_request(adapt_messages(request, OTHER).request, OTHER, stream=False))
    assert body["thinking"]["budget_tokens"] == 100_000 < body["max_tokens"]
    assert named(request, OTHER) == ([], [])


def test_an_output_limit_without_room_for_thinking_leaves_it_out_by_name():
    request = thinking(THINK, settings={"max_output_tokens": 1024})
    assert named(request, OLD) == (["generation.reasoning.effort"], [])
    assert sent(request, OLD) == {}
    assert named(request, SEVEN) == ([], [])


@pytest.mark.parametrize("choice", [ToolChoice(ToolMode.REQUIRED), ToolChoice(function_name="f")])
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (OLD, {}),
        (SIX, {}),
        (SEVEN, {}),
        (FIVE, {"thinking": {"type": "disabled"}}),
        (OTHER, {"thinking": {"type": "disabled"}}),
    ],
)
def test_no_model_thinks_where_it_must_call_a_tool(model, choice, expected):
    request = thinking(THINK, tools=(FunctionTool("f"),), tool_choice=choice)
    assert named(request, model) == (["generation.reasoning.effort"], [])
    assert sent(request, model) == expected


def test_a_budget_is_named_where_the_model_must_call_a_tool():
    request = thinking(
        ReasoningConfig(budget_tokens=2000), tools=(FunctionTool("f"),), tool_choice=ToolChoice(ToolMode.REQUIRED)
    )
    assert named(request, OLD) == (["generation.reasoning.budget_tokens"], [])


@pytest.mark.parametrize("model", [BETWEEN, ALWAYS_FREE, "claude-fable-5-1"])
def test_some_models_cannot_be_told_to_call_a_tool(model):
    tools = (FunctionTool("f"),)
    assert named(ask(tools=tools, tool_choice=ToolChoice(ToolMode.REQUIRED)), model) == (["tool_choice.mode"], [])
    assert named(ask(tools=tools, tool_choice=ToolChoice(function_name="f")), model) == (
        ["tool_choice.function_name"],
        [],
    )
    request = thinking(THINK, tools=tools, tool_choice=ToolChoice(ToolMode.REQUIRED))
    assert sent(request, model) == adaptive("high", display="summarized")


def said(*parts: Any) -> Message:
    return Message(Role.ASSISTANT, parts)


ASKED = Message(Role.USER, (TextPart(text="x"),))
RESULT = Message(Role.TOOL, (ToolResultPart(tool_call_id="c", content=(TextPart(text="1"),)),))
OPENING = Message(Role.SYSTEM, (TextPart(text="Be brief."),))
BEGUN = (ASKED, said(TextPart(text="{")))


@pytest.mark.parametrize(
    ("messages", "goes_on_thinking"),
    [
        ((ASKED,), True),
        ((ASKED, said(CALL), RESULT), False),
        ((ASKED, said(TextPart(text="Let me see."), CALL), RESULT), False),
        ((ASKED, said(ReasoningPart(text="of another target"), CALL), RESULT), False),
        ((ASKED, said(TextPart(text=" "), THOUGHT, CALL), RESULT), True),
        ((ASKED, said(THOUGHT, CALL), RESULT), True),
        # The model thinks before its first call, and need not before the next ones.
        ((ASKED, said(THOUGHT, CALL), RESULT, said(CALL), RESULT), True),
        ((ASKED, said(CALL), RESULT, said(THOUGHT, CALL), RESULT), False),
        ((ASKED, said(THOUGHT), said(CALL), RESULT), True),
        # What the user adds to results belongs to the same turn.
        ((ASKED, said(CALL), RESULT, ASKED), False),
        ((ASKED, said(CALL), ASKED, RESULT), False),
        ((ASKED, said(CALL), RESULT, OPENING), False),
        # A turn that is over binds nobody.
        ((ASKED, said(CALL), RESULT, said(TextPart(text="Done.")), ASKED), True),
        ((ASKED, said(TextPart(text="Hello.")), ASKED), True),
        # The beginning of an answer, to be continued.
        (BEGUN, False),
        # Nothing, of which all was left out, is none.
        ((ASKED, said()), True),
    ],
)
def test_a_turn_that_began_without_thinking_goes_on_without_it_and_the_caller_is_told(messages, goes_on_thinking):
    request = thinking(THINK, messages=(OPENING, *messages))
    assert named(request, OLD) == ([], [] if goes_on_thinking else ["generation.reasoning"])
    assert ("thinking" in sent(request, OLD)) == goes_on_thinking
    # Those that think adaptively take what comes, but go on from no words of their own.
    assert named(request, SIX) == (["messages[2].role"] if messages is BEGUN else [], [])


@pytest.mark.parametrize(
    ("model", "config", "kept"),
    [
        (OLD, THINK, True),
        (OLD, None, False),
        (OLD, ReasoningConfig(ReasoningEffort.NONE), False),
        (SEVEN, None, False),
        (FIVE, None, True),
        (FIVE, ReasoningConfig(ReasoningEffort.NONE), False),
        (ALWAYS, ReasoningConfig(ReasoningEffort.NONE), True),
        (OTHER, None, True),
        ("claude-3-haiku", None, False),
    ],
)
def test_earlier_thinking_is_sent_to_a_model_that_thinks_alone(model, config, kept):
    request = thinking(config, messages=(ASKED, said(THOUGHT, CALL), RESULT))
    body = json.loads(encode_request(adapt_messages(request, model).request, model, stream=False))
    kinds = [block["type"] for block in body["messages"][1]["content"]]
    assert kinds == (["thinking", "tool_use"] if kept else ["tool_use"])


def test_thinking_that_the_callers_own_options_turn_on_counts_as_well():
    options = {"anthropic": {"thinking": {"type": "enabled", "budget_tokens": 2000.0}}}
    request = ask(messages=(ASKED, said(THOUGHT, CALL), RESULT), provider_options=options)
    body = json.loads(encode_request(adapt_messages(request, OLD).request, OLD, stream=False))
    assert body["thinking"]["budget_tokens"] == 2000
    assert body["messages"][1]["content"][0]["type"] == "thinking"


@pytest.mark.parametrize("model", [OLD, FIVE])
def test_earlier_thinking_stays_away_where_the_callers_own_options_turn_it_off(model):
    options = {"anthropic": {"thinking": {"type": "disabled"}}}
    request = ask(messages=(ASKED, said(THOUGHT, CALL), RESULT), provider_options=options)
    body = json.loads(encode_request(adapt_messages(request, model).request, model, stream=False))
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]


def test_thinking_that_is_left_out_stays_hidden_if_it_was_to_be():
    request = thinking(ReasoningConfig(ReasoningEffort.HIGH, include=False), messages=(ASKED, said(CALL), RESULT))
    assert not adapt_messages(request, OLD).request.shows_thinking


@pytest.mark.parametrize(
    ("model", "last"),
    [
        (OLD, Message(Role.ASSISTANT, (CALL,))),
        (SIX, Message(Role.ASSISTANT, (CALL,))),
        (SIX, Message(Role.ASSISTANT, (TextPart(text="Well, "),))),
    ],
)
def test_a_message_that_was_left_out_is_no_turn_to_go_on_from(model, last):
    request = thinking(ReasoningConfig(budget_tokens=2048), messages=(*ask().messages, last))
    found, changes = named(request, model)
    assert len(found) == 1
    assert changes == []
    assert sent(request, model) == enabled(2048)
