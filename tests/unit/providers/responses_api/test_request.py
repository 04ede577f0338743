"""What a conversation becomes on the wire of the Responses API, as whole bodies."""

import json
from typing import Any

import pytest

from llmproxy_grpc.messages import (
    ChatRequest,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    MediaDetail,
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
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.responses_api.features import features_of
from llmproxy_grpc.providers.responses_api.history import CUSTOM_CALL
from llmproxy_grpc.providers.responses_api.request import encode_count, encode_request
from tests.providers.conversations import ask

SCHEMA = '{"type": "object",  "properties": {"n": {"const": 9007199254740993}}}'
NAMES = ("openai",)


def raw(request: ChatRequest, model: str = "gpt-4o", *, stream: bool = False) -> bytes:
    return encode_request(adapt(request, features_of(NAMES)).request, model, NAMES, stream=stream)


def body(request: ChatRequest, model: str = "gpt-4o", **options: Any) -> dict[str, Any]:
    return json.loads(raw(request, model, **options))


def items(*messages: Message) -> list[dict[str, Any]]:
    return body(ask(messages=messages))["input"]


def test_a_plain_request_is_stored_nowhere():
    assert body(ask("Hello?")) == {"model": "gpt-4o", "input": [{"role": "user", "content": "Hello?"}], "store": False}
    assert body(ask("Hello?"), stream=True)["stream"] is True


@pytest.mark.parametrize(
    ("model", "asks"),
    [("gpt-5-mini", True), ("o3", True), ("gpt-4o", False), ("gpt-5-chat-latest", False), ("qwen3", False)],
)
def test_models_that_think_are_asked_for_their_encrypted_thinking(model, asks):
    assert ("reasoning.encrypted_content" in body(ask(), model).get("include", [])) == asks


def test_a_conversation_keeps_the_order_of_its_items():
    token = json.dumps({"id": "rs_1", "summary": [], "encrypted_content": "gAAA"}).encode()
    said = (
        ReasoningPart(text="Hm.", summary=True, continuity_token=token),
        ReasoningPart(text="of another target"),
        TextPart(text="I look."),
        ToolCallPart(id="c1", name="f", arguments_json='{"n":  1}'),
        ToolCallPart(id="c2", name="sql", arguments_json="SELECT 1", continuity_token=CUSTOM_CALL),
        RefusalPart(text="No."),
        OpaquePart(provider_kind="openai", type="web_search_call", value={"id": "ws_1"}),
    )
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    results = (
        ToolResultPart(tool_call_id="c1", content=(TextPart(text="1"), picture)),
        ToolResultPart(tool_call_id="c2", content=(TextPart(text="2"),)),
    )
    assert items(
        Message(Role.SYSTEM, (TextPart(text="S"),)),
        Message(Role.DEVELOPER, (TextPart(text="D"),)),
        Message(Role.ASSISTANT, said),
        Message(Role.TOOL, results),
    ) == [
        {"role": "system", "content": "S"},
        {"role": "developer", "content": "D"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"n":  1}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "SELECT 1"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "web_search_call", "id": "ws_1"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "1"},
                {"type": "input_image", "image_url": "data:image/png;base64,eA=="},
            ],
        },
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "2"},
    ]


def test_media_by_bytes_by_address_and_by_id():
    parts = (
        TextPart(text="?"),
        MediaPart(kind=MediaKind.IMAGE, uri="https://example.test/i", detail=MediaDetail.HIGH),
        MediaPart(kind=MediaKind.IMAGE, file_id="file_1"),
        MediaPart(kind=MediaKind.DOCUMENT, uri="https://example.test/d"),
        MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/pdf", filename="a.pdf"),
        MediaPart(kind=MediaKind.AUDIO, data=b"x", media_type="audio/mpeg"),
    )
    assert items(Message(Role.USER, parts))[0]["content"] == [
        {"type": "input_text", "text": "?"},
        {"type": "input_image", "image_url": "https://example.test/i", "detail": "high"},
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_file", "file_url": "https://example.test/d"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,eA==", "filename": "a.pdf"},
        {"type": "input_audio", "input_audio": {"data": "eA==", "format": "mp3"}},
    ]


def test_tools_are_flat_and_say_whether_they_are_strict():
    tools = (
        FunctionTool("f", "does", SCHEMA, strict=True),
        FunctionTool("g"),
        ProviderTool("openai", "web_search", {}),
    )
    assert SCHEMA.encode() in raw(ask(tools=tools))
    assert body(ask(tools=tools))["tools"] == [
        {"type": "function", "name": "f", "description": "does", "parameters": json.loads(SCHEMA), "strict": True},
        {"type": "function", "name": "g", "parameters": {"type": "object", "properties": {}}, "strict": False},
        {"type": "web_search"},
    ]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(ToolMode.NONE), {"tool_choice": "none"}),
        (
            ToolChoice(ToolMode.REQUIRED, parallel_tool_calls=False),
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
        (ToolChoice(function_name="f"), {"tool_choice": {"type": "function", "name": "f"}}),
        (ToolChoice(), {}),
    ],
)
def test_the_choice_of_tools(choice, sent):
    asked = body(ask(tools=(FunctionTool("f"),), tool_choice=choice))
    assert {name: asked[name] for name in ("tool_choice", "parallel_tool_calls") if name in asked} == sent


def test_settings_and_options():
    config = GenerationConfig(
        max_output_tokens=7,
        temperature=0.0,
        top_p=0.5,
        top_logprobs=2,
        reasoning=ReasoningConfig(ReasoningEffort.LOW, include=True),
        response_format=JsonSchemaFormat("", SCHEMA),
    )
    sent = body(
        ask(generation=config, end_user_id="u1", provider_options={"openai": {"store": True, "truncation": "auto"}})
    )
    del sent["input"]
    assert sent == {
        "model": "gpt-4o",
        "store": True,
        "max_output_tokens": 7,
        "temperature": 0,
        "top_p": 0.5,
        "top_logprobs": 2,
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": json.loads(SCHEMA), "strict": False}},
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["message.output_text.logprobs"],
        "user": "u1",
        "truncation": "auto",
    }
    assert body(ask(generation=GenerationConfig(response_format=JsonObjectFormat())))["text"] == {
        "format": {"type": "json_object"}
    }


def test_what_the_api_lacks_is_named():
    config = GenerationConfig(stop_sequences=("a",), seed=1, candidate_count=2, presence_penalty=1.0)
    assert [found.field for found in adapt(ask(generation=config), features_of(NAMES)).unsupported] == [
        "generation.seed",
        "generation.presence_penalty",
        "generation.stop_sequences",
        "generation.candidate_count",
    ]


def test_a_prompt_to_count_has_no_settings():
    request = ask("x", tools=(FunctionTool("f"),), generation=GenerationConfig(max_output_tokens=1))
    assert json.loads(encode_count(request, "m")).keys() == {"model", "input", "tools"}
