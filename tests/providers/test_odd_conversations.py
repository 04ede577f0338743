"""Whatever the caller says, what is left of it is a conversation that the vendor takes, and all else is named."""

import json
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    MediaPart,
    OpaquePart,
    Part,
    ProviderTool,
    ReasoningConfig,
    ReasoningEffort,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers.anthropic_messages.features import adapt_messages
from llmproxy_grpc.providers.anthropic_messages.request import encode_request as encode_messages
from llmproxy_grpc.providers.chat_completions.features import features_of
from llmproxy_grpc.providers.chat_completions.quirks import OPENAI
from llmproxy_grpc.providers.cohere_chat.features import adapt_chat
from llmproxy_grpc.providers.converse.features import adapt_converse
from llmproxy_grpc.providers.converse.request import encode_request as encode_converse
from llmproxy_grpc.providers.generate_content.features import adapt_content
from llmproxy_grpc.providers.generate_content.request import encode_request as encode_content
from llmproxy_grpc.providers.openai_models import adapt_to_model
from llmproxy_grpc.providers.provider import Adapted
from llmproxy_grpc.providers.saying import has_words
from tests.fakes.odd_conversations import odd_conversation
from tests.providers.conversations import ask

NOVA, OPUS = "amazon.nova-pro-v1:0", "anthropic.claude-opus-4-6-v1"
FEATURES = features_of(OPENAI, ("openai",))
ADAPTED: Mapping[str, Callable[[ChatRequest], Adapted]] = {
    NOVA: lambda request: adapt_converse(request, NOVA),
    OPUS: lambda request: adapt_converse(request, OPUS),
    "claude-haiku-4-5": lambda request: adapt_messages(request, "claude-haiku-4-5"),
    "claude-opus-5": lambda request: adapt_messages(request, "claude-opus-5"),
    "claude-sonnet-5-5": lambda request: adapt_messages(request, "claude-sonnet-5-5"),
    "qwen3": lambda request: adapt_messages(request, "qwen3"),
    "gemini-2.5-pro": lambda request: adapt_content(request, "gemini-2.5-pro"),
    "gemini-3-pro": lambda request: adapt_content(request, "gemini-3-pro"),
    "command-a": lambda request: adapt_chat(request, "command-a"),
    "gpt-5.5": lambda request: adapt_to_model(request, FEATURES, "gpt-5.5", together=False),
    "o3": lambda request: adapt_to_model(request, FEATURES, "o3"),
}
KINDS_OF_PARTS: Mapping[str, type[Part]] = {
    "document": MediaPart,
    "image": MediaPart,
    "opaque": OpaquePart,
    "tool_call": ToolCallPart,
    "tool_result": ToolResultPart,
}
EFFORTS = [None, *ReasoningEffort]
TOOLS = (
    FunctionTool("f"),
    FunctionTool("no such name"),
    FunctionTool("g", strict=True),
    ProviderTool("gemini", "googleSearch", {}),
)
randoms = st.randoms(use_true_random=False)


def an_odd_request(random: Random) -> ChatRequest:
    tools = tuple(random.sample(TOOLS, random.randint(0, 2)))
    names = [tool.name for tool in tools if isinstance(tool, FunctionTool)]
    choices = [None, *map(ToolChoice, ToolMode), *(ToolChoice(function_name=name) for name in names)]
    effort = random.choice(EFFORTS)
    thinking = None if effort is None else ReasoningConfig(effort, budget_tokens=random.choice((None, 0, 5000)))
    config = GenerationConfig(
        temperature=random.choice((None, 0.5, 1.7)),
        top_p=random.choice((None, 0.001, 1.0)),
        seed=random.choice((None, -5, 2**40)),
        max_output_tokens=random.choice((None, 100, 50_000)),
        stop_sequences=random.choice(((), (" ",), tuple("abcdef"))),
        response_format=random.choice((None, JsonObjectFormat())),
        reasoning=thinking,
    )
    choice = random.choice(choices) if tools else None
    return ask(messages=odd_conversation(random), generation=config, tools=tools, tool_choice=choice)


@pytest.mark.parametrize("model", ADAPTED)
@settings(max_examples=150, deadline=None)
@given(random=randoms)
def test_what_is_left_lacks_nothing_more_and_the_rest_has_the_callers_paths(model, random):
    request = an_odd_request(random)
    adapted = ADAPTED[model](request)
    fields = [found.field for found in adapted.unsupported]
    assert len(set(fields)) == len(fields)
    for field in (*fields, *(change.field for change in adapted.changes)):
        check_path(request, field)
    if not any(map(has_words, adapted.request.messages)):
        return
    again = ADAPTED[model](adapted.request)
    assert again.unsupported == ()
    assert [change for change in again.changes if not change.dropped] == []


def check_path(request: ChatRequest, path: str) -> None:
    """Fails unless a path leads to such a thing."""
    found = re.match(r"messages\[(\d+)\]\.parts\[(\d+)\]\.(\w+)(?:\.content\[(\d+)\]\.(\w+))?", path)
    if found is None:
        return
    part: Any = request.messages[int(found[1])].parts[int(found[2])]
    assert isinstance(part, KINDS_OF_PARTS.get(found[3], object)), path
    assert found[3] != "cache_hint" or part.cache_hint is not None, path
    if found[4] is not None:
        assert isinstance(part.content[int(found[4])], KINDS_OF_PARTS.get(found[5], object)), path


def left_of(model: str, random: Random) -> ChatRequest | None:
    """What is left of a conversation for a model; None if that is nothing, which is refused."""
    request = ask(messages=odd_conversation(random), tools=(FunctionTool("f"),))
    adapted = ADAPTED[model](request)
    return adapted.request if any(map(has_words, adapted.request.messages)) else None


def check_calls(calls: list[list[str]], results: list[list[str]]) -> None:
    """Fails unless each turn with calls has their results in the next one, and no turn others."""
    for called, answered in zip([[], *calls], [*results, []], strict=True):
        assert sorted(called) == sorted(answered)


@pytest.mark.parametrize("model", [NOVA, OPUS])
@settings(max_examples=300, deadline=None)
@given(random=randoms)
def test_whatever_is_sent_converse_takes(model, random):
    request = left_of(model, random)
    if request is None:
        return
    turns = json.loads(encode_converse(request, model))["messages"]
    roles = [turn["role"] for turn in turns]
    assert roles == [("user", "assistant")[number % 2] for number in range(len(turns))]
    assert roles
    blocks = [turn["content"] for turn in turns]
    check_calls(
        [[block["toolUse"]["toolUseId"] for block in each if "toolUse" in block] for each in blocks],
        [[block["toolResult"]["toolUseId"] for block in each if "toolResult" in block] for each in blocks],
    )
    for each in blocks:
        assert "reasoningContent" not in each[-1]
        assert any("text" in block for block in each) or not any("document" in block for block in each)
    assert model != OPUS or roles[-1] == "user"


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-5"])
@settings(max_examples=300, deadline=None)
@given(random=randoms)
def test_whatever_is_sent_claude_takes(model, random):
    request = left_of(model, random)
    if request is None:
        return
    body = json.loads(encode_messages(request, model, stream=False))
    turns = [turn for turn in body["messages"] if turn["role"] != "system"]
    assert turns
    blocks = [turn["content"] for turn in turns]
    check_calls(
        [[block["id"] for block in each if block["type"] == "tool_use"] for each in blocks],
        [[block["tool_use_id"] for block in each if block["type"] == "tool_result"] for each in blocks],
    )
    assert all(each[-1]["type"] != "thinking" for each in blocks)
    assert model != "claude-opus-5" or turns[-1]["role"] == "user"
    kept = [block["cache_control"] for each in (body.get("system", []), *blocks_of(body)) for block in marked(each)]
    hours = [mark.get("ttl") == "1h" for mark in kept]
    assert len(kept) <= 4
    assert hours == sorted(hours, reverse=True), "what is kept for an hour stands first"


def blocks_of(body: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [turn["content"] for turn in body["messages"]]


def marked(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [block for block in blocks if "cache_control" in block]


@settings(max_examples=300, deadline=None)
@given(random=randoms)
def test_whatever_is_sent_gemini_takes(random):
    model = "gemini-3-pro"
    request = left_of(model, random)
    if request is None:
        return
    turns = json.loads(encode_content(request, model))["contents"]
    roles = [turn["role"] for turn in turns]
    assert all(before != after for before, after in pairwise(roles))
    assert turns
    calls, results = (
        [[part[name]["name"] for part in turn["parts"] if name in part] for turn in turns]
        for name in ("functionCall", "functionResponse")
    )
    check_calls(calls, results)
    assert not any(calls[:1]), "a call does not begin a conversation"
