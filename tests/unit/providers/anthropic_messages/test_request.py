"""What a conversation becomes on Anthropic's wire, as whole bodies."""

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
    ProviderTool,
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
from llmproxy_grpc.providers.anthropic_messages.features import adapt_messages
from llmproxy_grpc.providers.anthropic_messages.request import encode_count, encode_request
from llmproxy_grpc.providers.thinking_tokens import hidden_token, redacted_token, signature_token
from tests.providers.conversations import ask

OLD, THINKING = "claude-haiku-4-5", "claude-opus-5"
SCHEMA = '{"type": "object",  "properties": {"n": {"const": 9007199254740993}}}'


def body(request: ChatRequest, model: str = OLD, *, stream: bool = False) -> dict[str, Any]:
    return json.loads(encode_request(adapt_messages(request, model).request, model, stream=stream))


def turns(*messages: Message, model: str = OLD) -> list[dict[str, Any]]:
    return body(ask(messages=messages), model)["messages"]


def user(*parts: Any) -> Message:
    return Message(Role.USER, parts)


def text(words: str) -> TextPart:
    return TextPart(text=words)


def test_a_plain_request_has_nothing_but_what_the_api_demands():
    assert body(ask("Hello?")) == {
        "model": OLD,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}],
        "max_tokens": 64_000,
    }
    assert body(ask("Hello?"), stream=True)["stream"] is True


def test_instructions_stand_outside_the_conversation_in_their_order():
    request = ask(
        messages=(
            Message(Role.SYSTEM, (text("A"),)),
            user(text("x")),
            Message(Role.DEVELOPER, (TextPart(text="B", cache_hint=CacheHint()),)),
        )
    )
    assert body(request)["system"] == [
        {"type": "text", "text": "A"},
        {"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}},
    ]
    assert len(body(request)["messages"]) == 1


def test_results_of_parallel_calls_are_one_turn_and_stand_before_what_the_user_says_next():
    calls = (
        ToolCallPart(id="a", name="f", arguments_json='{"n": 9007199254740993, "x": 1.0}'),
        ToolCallPart(id="b", name="g", arguments_json=""),
        ToolCallPart(id="c", name="h", arguments_json="no json"),
    )
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    request = ask(
        messages=(
            user(text("x")),
            Message(Role.ASSISTANT, (text("Let me see."), *calls)),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="a", content=(text("1"), picture)),)),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="b"), ToolResultPart(tool_call_id="c"))),
            user(text("And?"), text(" \n")),
        )
    )
    data = encode_request(adapt_messages(request, OLD).request, OLD, stream=False)
    assert b'"input":{"n": 9007199254740993, "x": 1.0}' in data, "arguments pass to the byte"
    assert json.loads(data)["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"n": 9007199254740993, "x": 1.0}},
                {"type": "tool_use", "id": "b", "name": "g", "input": {}},
                {"type": "tool_use", "id": "c", "name": "h", "input": {"INVALID_JSON": "no json"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "content": [
                        {"type": "text", "text": "1"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}},
                    ],
                },
                {"type": "tool_result", "tool_use_id": "b"},
                {"type": "tool_result", "tool_use_id": "c"},
                {"type": "text", "text": "And?"},
            ],
        },
    ]


def test_media_by_bytes_by_address_and_by_id():
    parts = (
        MediaPart(kind=MediaKind.IMAGE, uri="https://example.test/i.png"),
        MediaPart(kind=MediaKind.IMAGE, uri="data:image/gif;base64,eA=="),
        MediaPart(kind=MediaKind.DOCUMENT, file_id="file_1", cache_hint=CacheHint(ttl=3600)),
        MediaPart(kind=MediaKind.DOCUMENT, data=b"%PDF", media_type="application/pdf", filename="a.pdf"),
        MediaPart(kind=MediaKind.DOCUMENT, data="é".encode(), media_type="text/plain; charset=utf-8"),
    )
    assert turns(user(*parts))[0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://example.test/i.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "eA=="}},
        {
            "type": "document",
            "source": {"type": "file", "file_id": "file_1"},
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        },
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}},
    ]


def test_thinking_goes_back_as_it_came_and_without_its_token_not_at_all():
    parts = (
        ReasoningPart(text="Hm.", continuity_token=signature_token("sig")),
        ReasoningPart(redacted=True, continuity_token=redacted_token("data")),
        ReasoningPart(redacted=True, continuity_token=hidden_token("Hidden.", "sig2")),
        ReasoningPart(text="of another target"),
        ReasoningPart(text="?", continuity_token=b"x:unknown"),
        ReasoningPart(text="?", continuity_token=b"b:no json"),
        RefusalPart(text="I won't."),
        OpaquePart(provider_kind="anthropic", type="server_tool_use", value={"id": "s", "n": 3.0}),
    )
    assert turns(user(text("x")), Message(Role.ASSISTANT, parts), model=THINKING)[1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "data"},
        {"type": "thinking", "thinking": "Hidden.", "signature": "sig2"},
        {"type": "text", "text": "I won't."},
        {"type": "server_tool_use", "id": "s", "n": 3},
    ]


def test_tools_keep_their_schema_to_the_byte():
    tools = (
        FunctionTool("f", "does", SCHEMA, strict=True),
        FunctionTool("g"),
        ProviderTool("anthropic", "web_search_20250305", {"name": "web_search", "max_uses": 3.0}),
    )
    request = adapt_messages(ask(tools=tools), OLD).request
    assert SCHEMA.encode() in encode_request(request, OLD, stream=False)
    assert body(ask(tools=tools))["tools"] == [
        {"name": "f", "description": "does", "input_schema": json.loads(SCHEMA), "strict": True},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    ]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(), None),
        (ToolChoice(ToolMode.AUTO), {"type": "auto"}),
        (ToolChoice(ToolMode.NONE), {"type": "none"}),
        (ToolChoice(ToolMode.NONE, parallel_tool_calls=False), {"type": "none"}),
        (ToolChoice(ToolMode.REQUIRED), {"type": "any"}),
        (ToolChoice(function_name="f"), {"type": "tool", "name": "f"}),
        (ToolChoice(parallel_tool_calls=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (
            ToolChoice(ToolMode.REQUIRED, parallel_tool_calls=True),
            {"type": "any", "disable_parallel_tool_use": False},
        ),
    ],
)
def test_the_choice_of_tools(choice, sent):
    assert body(ask(tools=(FunctionTool("f"),), tool_choice=choice)).get("tool_choice") == sent


def test_settings_and_options():
    request = ask(
        generation=GenerationConfig(
            max_output_tokens=7,
            temperature=0.0,
            top_k=3,
            stop_sequences=("END",),
            response_format=JsonSchemaFormat("n", SCHEMA),
        ),
        end_user_id="u1",
        provider_options={"anthropic": {"service_tier": "auto", "temperature": 1.0, "stream": True}},
    )
    sent = body(request)
    del sent["messages"]
    assert sent == {
        "model": OLD,
        "max_tokens": 7,
        "temperature": 1,
        "top_k": 3,
        "stop_sequences": ["END"],
        "output_config": {"format": {"type": "json_schema", "schema": json.loads(SCHEMA)}},
        "metadata": {"user_id": "u1"},
        "service_tier": "auto",
    }


def test_a_prompt_to_count_has_no_settings_but_all_that_the_model_reads():
    config = GenerationConfig(
        max_output_tokens=9000,
        temperature=1.0,
        stop_sequences=("END",),
        reasoning=ReasoningConfig(ReasoningEffort.LOW),
        response_format=JsonSchemaFormat("n", SCHEMA),
    )
    options = {"anthropic": {"service_tier": "auto", "mcp_servers": [], "cache_control": {"type": "ephemeral"}}}
    request = ask("x", tools=(FunctionTool("f"),), generation=config, end_user_id="u", provider_options=options)
    sent = json.loads(encode_count(adapt_messages(request, OLD).request, OLD))
    assert sent.keys() == {"model", "messages", "tools", "thinking", "output_config", "mcp_servers"}
