"""What a conversation becomes on the wire of Converse, as whole bodies."""

import json
from typing import Any

import pytest

from llmproxy_grpc.messages import (
    CacheHint,
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    ReasoningConfig,
    ReasoningEffort,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.converse.features import features_of
from llmproxy_grpc.providers.converse.request import encode_count, encode_request
from llmproxy_grpc.providers.thinking_tokens import hidden_token, redacted_token, signature_token
from tests.providers.conversations import ask

CLAUDE, NOVA, GPT = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0", "openai.gpt-oss-120b-1:0"
SCHEMA = '{"type": "object",  "properties": {"n": {"const": 9007199254740993}}}'


def raw(request: ChatRequest, model: str = CLAUDE) -> bytes:
    return encode_request(adapt(request, features_of(model)).request, model)


def body(request: ChatRequest, model: str = CLAUDE) -> dict[str, Any]:
    return json.loads(raw(request, model))


def test_a_plain_request_is_its_messages():
    assert body(ask("Hello?")) == {"messages": [{"role": "user", "content": [{"text": "Hello?"}]}]}


def test_a_conversation_with_everything():
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    paper = MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/pdf", filename="my_file (1).pdf")
    video = MediaPart(kind=MediaKind.VIDEO, uri="s3://bucket/v.mp4")
    said = (
        ReasoningPart(text="Hm.", continuity_token=signature_token("sig")),
        ReasoningPart(redacted=True, continuity_token=redacted_token("ZGF0YQ==")),
        ReasoningPart(redacted=True, continuity_token=hidden_token("Hidden.", "sig2")),
        ReasoningPart(text="of another target"),
        RefusalPart(text="I won't."),
        ToolCallPart(id="a", name="f", arguments_json='{"n": 9007199254740993, "x": 1.0}'),
        OpaquePart(provider_kind="bedrock", type="futureBlock", value={"n": 3.0}),
    )
    request = ask(
        messages=(
            Message(Role.SYSTEM, (TextPart(text="A", cache_hint=CacheHint(ttl=3600)),)),
            Message(Role.DEVELOPER, (TextPart(text="B"),)),
            Message(Role.USER, (TextPart(text="?", cache_hint=CacheHint()), picture, paper, video, TextPart(text=" "))),
            Message(Role.ASSISTANT, said),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="a", content=(TextPart(text="1"), picture)),)),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="b", is_error=True),)),
        ),
        tools=(FunctionTool("f", "does", SCHEMA, strict=True), FunctionTool("g")),
        tool_choice=ToolChoice(ToolMode.REQUIRED),
    )
    assert b'"input":{"n": 9007199254740993, "x": 1.0}' in raw(request)
    assert SCHEMA.encode() in raw(request)
    image = {"image": {"format": "png", "source": {"bytes": "eA=="}}}
    assert body(request) == {
        "system": [{"text": "A"}, {"cachePoint": {"type": "default", "ttl": "1h"}}, {"text": "B"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "?"},
                    {"cachePoint": {"type": "default"}},
                    image,
                    {"document": {"format": "pdf", "name": "my file (1) pdf", "source": {"bytes": "eA=="}}},
                    {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://bucket/v.mp4"}}}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
                    {"reasoningContent": {"redactedContent": "ZGF0YQ=="}},
                    {"reasoningContent": {"reasoningText": {"text": "Hidden.", "signature": "sig2"}}},
                    {"text": "I won't."},
                    {"toolUse": {"toolUseId": "a", "name": "f", "input": {"n": 9007199254740993, "x": 1.0}}},
                    {"futureBlock": {"n": 3}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": "a", "content": [{"text": "1"}, image], "status": "success"}},
                    {"toolResult": {"toolUseId": "b", "content": [{"text": ""}], "status": "error"}},
                ],
            },
        ],
        "toolConfig": {
            "tools": [
                {
                    "toolSpec": {
                        "name": "f",
                        "inputSchema": {"json": json.loads(SCHEMA)},
                        "description": "does",
                        "strict": True,
                    }
                },
                {"toolSpec": {"name": "g", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
            ],
            "toolChoice": {"any": {}},
        },
    }


def test_a_conversation_with_calls_keeps_its_tools_even_where_the_caller_names_none():
    call = ToolCallPart(id="a", name="f", arguments_json="{}")
    sent = body(ask(messages=(Message(Role.ASSISTANT, (call, call)),)))
    assert [tool["toolSpec"]["name"] for tool in sent["toolConfig"]["tools"]] == ["f"]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(), None),
        (ToolChoice(ToolMode.AUTO), {"auto": {}}),
        (ToolChoice(function_name="f"), {"tool": {"name": "f"}}),
    ],
)
def test_the_choice_of_tools(choice, sent):
    assert body(ask(tools=(FunctionTool("f"),), tool_choice=choice))["toolConfig"].get("toolChoice") == sent


def test_settings_stand_where_converse_wants_them():
    config = GenerationConfig(
        max_output_tokens=7,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        stop_sequences=("END",),
        reasoning=ReasoningConfig(budget_tokens=2000),
        response_format=JsonSchemaFormat("", SCHEMA),
    )
    options = {"bedrock": {"guardrailConfig": {"guardrailIdentifier": "g"}, "messages": []}}
    sent = body(ask(generation=config, provider_options=options))
    del sent["messages"]
    assert sent == {
        "inferenceConfig": {"maxTokens": 7, "temperature": 0, "topP": 0.5, "stopSequences": ["END"]},
        "additionalModelRequestFields": {"top_k": 3, "thinking": {"type": "enabled", "budget_tokens": 2000}},
        "outputConfig": {
            "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": SCHEMA, "name": "answer"}}}
        },
        "guardrailConfig": {"guardrailIdentifier": "g"},
    }


def test_what_depends_on_the_maker_of_the_model():
    config = GenerationConfig(top_k=3, reasoning=ReasoningConfig(ReasoningEffort.LOW, 2000))

    def named(model: str) -> list[str]:
        return [found.field for found in adapt(ask(generation=config), features_of(model)).unsupported]

    assert named(CLAUDE) == ["generation.reasoning.effort"]
    assert named(GPT) == ["generation.top_k", "generation.reasoning.budget_tokens"]
    assert len(named(NOVA)) == 3
    low = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.LOW))
    assert body(ask(generation=low), GPT)["additionalModelRequestFields"] == {"reasoning_effort": "low"}


def test_no_calls_cannot_be_demanded():
    request = ask(tools=(FunctionTool("f"),), tool_choice=ToolChoice(ToolMode.NONE))
    assert [found.field for found in adapt(request, features_of(CLAUDE)).unsupported] == ["tool_choice.mode"]


def test_a_prompt_to_count_is_the_conversation_alone():
    request = ask("x", tools=(FunctionTool("f"),), generation=GenerationConfig(max_output_tokens=1))
    assert json.loads(encode_count(request))["input"]["converse"].keys() == {"messages", "toolConfig"}
