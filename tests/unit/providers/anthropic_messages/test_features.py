"""What Anthropic's models honour, and the rules that fields have with each other."""

from typing import Any

import pytest

from llmproxy_grpc.messages import (
    CacheHint,
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
from tests.providers.conversations import ask

OLD, NEW = "claude-haiku-4-5", "claude-opus-4-7"
THINK = ReasoningConfig(ReasoningEffort.HIGH)


def named(model: str = OLD, **fields: Any) -> list[str]:
    return [found.field for found in adapt_messages(ask(**fields), model).unsupported]


def test_newer_models_take_no_sampling_and_no_budget():
    config = GenerationConfig(temperature=0.0, top_p=0.1, top_k=1, reasoning=ReasoningConfig(budget_tokens=2000))
    assert named(OLD, generation=config) == []
    assert named(NEW, generation=config) == [
        "generation.temperature",
        "generation.top_p",
        "generation.top_k",
        "generation.reasoning.budget_tokens",
    ]


def test_what_no_model_of_the_api_has_is_named():
    config = GenerationConfig(seed=1, top_logprobs=1, candidate_count=2, presence_penalty=1.0, logit_bias={1: 1.0})
    assert named(OLD, generation=config) == [
        "generation.seed",
        "generation.presence_penalty",
        "generation.top_logprobs",
        "generation.logit_bias",
        "generation.candidate_count",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"generation": GenerationConfig(max_output_tokens=1024, reasoning=THINK)},
        {
            "generation": GenerationConfig(reasoning=THINK),
            "tools": (FunctionTool("f"),),
            "tool_choice": ToolChoice(ToolMode.REQUIRED),
        },
        {
            "generation": GenerationConfig(reasoning=THINK),
            "tools": (FunctionTool("f"),),
            "tool_choice": ToolChoice(function_name="f"),
        },
    ],
)
def test_thinking_that_the_api_would_refuse_is_named(fields):
    assert named(OLD, **fields) == ["generation.reasoning.effort"]
    assert adapt_messages(ask(**fields), OLD).request.generation.reasoning is None
    assert named(NEW, **fields) == []


@pytest.mark.parametrize(("asked", "limit", "given"), [(5, None, 1024), (9000, 3000, 2999), (2000, 3000, 2000)])
def test_a_budget_is_kept_within_the_limits_and_the_caller_is_told(asked, limit, given):
    config = GenerationConfig(max_output_tokens=limit, reasoning=ReasoningConfig(budget_tokens=asked))
    adapted = adapt_messages(ask(generation=config), OLD)
    assert adapted.unsupported == ()
    assert adapted.request.generation.reasoning == ReasoningConfig(budget_tokens=given)
    assert [change.field for change in adapted.changes] == (
        [] if asked == given else ["generation.reasoning.budget_tokens"]
    )


CALL = ToolCallPart(id="c", name="f", arguments_json="{}")


@pytest.mark.parametrize(
    ("said", "thinks"),
    [
        ((CALL,), False),
        ((ReasoningPart(text="of another target"), CALL), False),
        ((ReasoningPart(text="Hm.", continuity_token=b"s:sig"), CALL), True),
        ((TextPart(text="no call"),), True),
    ],
)
def test_a_tool_loop_without_thinking_goes_on_without_thinking(said, thinks):
    messages = (
        Message(Role.USER, (TextPart(text="x"),)),
        Message(Role.ASSISTANT, said),
        Message(Role.TOOL, (ToolResultPart(tool_call_id="c"),)),
    )
    adapted = adapt_messages(ask(messages=messages, generation=GenerationConfig(reasoning=THINK)), OLD)
    assert adapted.unsupported == ()
    assert (adapted.request.generation.reasoning is not None) == thinks
    assert [change.field for change in adapted.changes] == ([] if thinks else ["generation.reasoning"])


def test_of_more_than_four_cache_hints_the_last_are_kept():
    parts = tuple(TextPart(text=str(index), cache_hint=CacheHint()) for index in range(6))
    messages = (Message(Role.SYSTEM, parts[:3]), Message(Role.USER, parts[3:]))
    adapted = adapt_messages(ask(messages=messages), OLD)
    assert [found.field for found in adapted.unsupported] == [
        "messages[0].parts[0].cache_hint",
        "messages[0].parts[1].cache_hint",
    ]
    kept = [part.cache_hint for message in adapted.request.messages for part in message.parts]
    assert kept == [None, None, *[CacheHint()] * 4]
