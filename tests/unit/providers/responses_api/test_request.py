"""What a conversation becomes on the wire of the Responses API, as whole bodies."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from llmproxy_grpc.errors import CapabilityNotSupported
from llmproxy_grpc.messages import (
    CacheHint,
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
from llmproxy_grpc.providers.chat_completions.quirks import COMPATIBLE_RESPONSES, OPENAI_RESPONSES, Quirks
from llmproxy_grpc.providers.openai_models import adapt_to_model
from llmproxy_grpc.providers.responses_api.features import features_of
from llmproxy_grpc.providers.responses_api.request import RequestEncoder
from tests.providers.conversations import ask

SCHEMA = '{"type": "object",  "properties": {"n": {"const": 9007199254740993}}}'
NAMES = ("openai",)
CUSTOM = b'{"type":"custom_tool_call"}'


def raw(
    request: ChatRequest, model: str = "gpt-4o", *, stream: bool = False, quirks: Quirks = OPENAI_RESPONSES
) -> bytes:
    adapted = adapt_to_model(request, features_of(quirks, NAMES), model).request
    return RequestEncoder(quirks, NAMES).encode(adapted, model, stream=stream)


def body(request: ChatRequest, model: str = "gpt-4o", **options: Any) -> dict[str, Any]:
    return json.loads(raw(request, model, **options))


def items(*messages: Message, **options: Any) -> list[dict[str, Any]]:
    return body(ask(messages=messages), **options)["input"]


def said(*parts: Any, **options: Any) -> list[dict[str, Any]]:
    return items(Message(Role.ASSISTANT, parts), **options)


def token(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_a_plain_request_is_stored_nowhere():
    assert body(ask("Hello?")) == {
        "model": "gpt-4o",
        "input": [{"type": "message", "role": "user", "content": "Hello?"}],
        "store": False,
    }
    assert body(ask("Hello?"), stream=True)["stream"] is True


@pytest.mark.parametrize(
    ("model", "asks"),
    [("gpt-5-mini", True), ("o3", True), ("gpt-4o", False), ("gpt-5-chat-latest", False), ("qwen3", False)],
)
def test_models_that_think_are_asked_for_their_encrypted_thinking(model, asks):
    assert ("reasoning.encrypted_content" in body(ask(), model).get("include", [])) == asks


def test_a_conversation_keeps_the_order_of_its_items():
    thinking = token(id="rs_1", summary=[], encrypted_content="gAAA")
    parts = (
        ReasoningPart(text="Hm.", summary=True, continuity_token=thinking),
        ReasoningPart(text="of another target"),
        TextPart(text="I look."),
        ToolCallPart(id="c1", name="f", arguments_json='{"n":  1}'),
        ToolCallPart(id="c2", name="sql", arguments_json="SELECT 1", continuity_token=CUSTOM),
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
        Message(Role.ASSISTANT, parts),
        Message(Role.TOOL, results),
    ) == [
        {"type": "message", "role": "system", "content": "S"},
        {"type": "message", "role": "developer", "content": "D"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "content": "I look."},
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
        MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="text/plain"),
    )
    assert items(Message(Role.USER, parts))[0]["content"] == [
        {"type": "input_text", "text": "?"},
        {"type": "input_image", "image_url": "https://example.test/i", "detail": "high"},
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_file", "file_url": "https://example.test/d"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,eA==", "filename": "a.pdf"},
        {"type": "input_file", "file_data": "data:text/plain;base64,eA==", "filename": "document.txt"},
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
        "include": ["message.output_text.logprobs"],
        "user": "u1",
        "truncation": "auto",
    }
    assert body(ask(generation=GenerationConfig(response_format=JsonObjectFormat())))["text"] == {
        "format": {"type": "json_object"}
    }


def test_thinking_is_asked_for_by_effort_and_summary():
    config = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.LOW, include=True))
    sent = body(ask(generation=config), "gpt-5-mini")
    assert sent["reasoning"] == {"effort": "low", "summary": "auto"}
    assert sent["include"] == ["reasoning.encrypted_content"]


def test_a_model_of_an_unknown_name_that_is_to_think_hides_its_thinking_at_openai_alone():
    config = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.LOW))
    assert body(ask(generation=config), "prod")["include"] == ["reasoning.encrypted_content"]
    assert "include" not in body(ask(generation=config), "prod", quirks=COMPATIBLE_RESPONSES)
    rested = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.NONE))
    assert "include" not in body(ask(generation=rested), "prod")


def test_open_models_show_their_thinking_unasked():
    config = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.LOW, include=True))
    sent = body(ask(generation=config), "qwen3", quirks=COMPATIBLE_RESPONSES)
    assert sent["reasoning"] == {"effort": "low"}
    assert "include" not in sent


def test_calls_are_forbidden_without_their_tools_where_there_is_no_word_for_it():
    request = ask("Hi", tools=(FunctionTool("f"),), tool_choice=ToolChoice(ToolMode.NONE))
    assert body(request, quirks=replace(OPENAI_RESPONSES, tool_choice=False)) == body(ask("Hi"))


def test_options_add_to_what_the_request_sets_itself():
    config = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.LOW), response_format=JsonObjectFormat())
    options = {
        "text": {"verbosity": "low"},
        "reasoning": {"summary": "detailed"},
        "include": ["web_search_call.action.sources", "reasoning.encrypted_content"],
        "prompt_cache_key": "k",
    }
    sent = body(ask(generation=config, provider_options={"openai": options}), "gpt-5")
    assert sent["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}
    assert sent["reasoning"] == {"effort": "low", "summary": "detailed"}
    assert sent["include"] == ["reasoning.encrypted_content", "web_search_call.action.sources"]
    assert sent["prompt_cache_key"] == "k"


def test_options_of_another_shape_replace_what_the_request_sets():
    config = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.LOW))
    sent = body(ask(generation=config, provider_options={"openai": {"reasoning": None, "include": None}}), "gpt-5")
    assert (sent["reasoning"], sent["include"]) == (None, None)


def test_what_the_api_lacks_is_named():
    config = GenerationConfig(stop_sequences=("a",), seed=1, candidate_count=2, presence_penalty=1.0)
    features = features_of(OPENAI_RESPONSES, NAMES)
    assert [found.field for found in adapt_to_model(ask(generation=config), features, "gpt-4o").unsupported] == [
        "generation.seed",
        "generation.presence_penalty",
        "generation.stop_sequences",
        "generation.candidate_count",
    ]


def test_a_prompt_to_count_has_no_settings():
    request = ask("x", tools=(FunctionTool("f"),), generation=GenerationConfig(max_output_tokens=1))
    encoder = RequestEncoder(OPENAI_RESPONSES, NAMES)
    assert json.loads(encoder.encode_count(request, "m")).keys() == {"model", "input", "tools"}


def test_a_prompt_to_count_has_the_options_that_change_it():
    own = {"instructions": "Be brief.", "text": {"verbosity": "low"}, "tools": [], "store": True, "include": [], "x": 1}
    config = GenerationConfig(response_format=JsonObjectFormat())
    request = ask("x", tools=(FunctionTool("f"),), generation=config, provider_options={"openai": own})
    counted = json.loads(RequestEncoder(OPENAI_RESPONSES, NAMES).encode_count(request, "m"))
    assert counted.keys() == {"model", "input", "tools", "text", "instructions"}
    assert {name: body(request)[name] for name in counted if name != "model"} == {
        name: counted[name] for name in counted if name != "model"
    }


def test_a_prompt_of_a_template_is_not_counted():
    request = ask(provider_options={"openai": {"prompt": {"id": "pmpt_1"}}})
    with pytest.raises(CapabilityNotSupported):
        RequestEncoder(OPENAI_RESPONSES, NAMES).encode_count(request, "m")


def test_a_server_without_the_role_gets_developers_as_system():
    assert items(Message(Role.DEVELOPER, (TextPart(text="D"),)), quirks=COMPATIBLE_RESPONSES)[0]["role"] == "system"


def test_a_server_without_refusals_gets_them_as_text():
    assert said(RefusalPart(text="No."), quirks=COMPATIBLE_RESPONSES) == [
        {"type": "message", "role": "assistant", "content": "No."}
    ]


def test_a_message_of_nothing_stays_and_an_answer_of_nothing_goes():
    assert items(Message(Role.USER, ()), Message(Role.ASSISTANT, ())) == [
        {"type": "message", "role": "user", "content": ""}
    ]


def test_a_prompts_opaque_items_stand_behind_its_message():
    block = OpaquePart(provider_kind="openai", type="mcp_approval_response", value={"approve": True, "n": 1.0})
    assert items(Message(Role.USER, (block, TextPart(text="x")))) == [
        {"type": "message", "role": "user", "content": "x"},
        {"type": "mcp_approval_response", "approve": True, "n": 1},
    ]


@pytest.mark.parametrize(("ttl", "sent"), [(None, {}), (60.0, {"ttl": "30m"}), (3600.0, {"ttl": "12h"})])
def test_cache_hints_are_breakpoints_where_the_model_knows_them(ttl, sent):
    message = Message(Role.USER, (TextPart(text="long", cache_hint=CacheHint(ttl)),))
    marked = {"type": "input_text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit", **sent}}
    assert body(ask(messages=(message,)), "gpt-5.6")["input"] == [
        {"type": "message", "role": "user", "content": [marked]}
    ]
    features = features_of(OPENAI_RESPONSES, NAMES)
    for model in ("gpt-5.5", "gpt-4o", "unknown"):
        named = adapt_to_model(ask(messages=(message,)), features, model).unsupported
        assert [found.field for found in named] == ["messages[0].parts[0].cache_hint"]
