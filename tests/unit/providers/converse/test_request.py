"""What a conversation becomes on the wire of Converse, as whole bodies."""

import json
import re
from typing import Any

import pytest

from llmproxy_grpc.errors import CapabilityNotSupported
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
from llmproxy_grpc.providers.converse.features import adapt_converse
from llmproxy_grpc.providers.converse.request import encode_count, encode_request
from llmproxy_grpc.providers.thinking_tokens import hidden_token, redacted_token, signature_token
from tests.providers.conversations import ask

CLAUDE, NOVA = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0"
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc"
NEWEST_CLAUDE = "global.anthropic.claude-opus-4-7"
SCHEMA = '{"type": "object",  "properties": {"n": {"const": 9007199254740993}}}'


def raw(request: ChatRequest, model: str = CLAUDE) -> bytes:
    return encode_request(adapt_converse(request, model).request, model)


def body(request: ChatRequest, model: str = CLAUDE) -> dict[str, Any]:
    return json.loads(raw(request, model))


def test_a_plain_request_is_its_messages():
    assert body(ask("Hello?")) == {"messages": [{"role": "user", "content": [{"text": "Hello?"}]}]}


@pytest.mark.parametrize(
    ("model", "status"),
    [(CLAUDE, True), (NOVA, True), ("us.amazon.nova-2-lite-v1:0", True), ("anthropic.claude-v2:1", True)]
    + [(model, False) for model in ("us.writer.palmyra-x5-v1:0", "openai.gpt-oss-120b-1:0", "meta.llama4")],
)
def test_only_makers_that_take_the_status_of_a_result_are_told_it(model, status):
    results = [
        ToolResultPart(tool_call_id=name, content=(TextPart(text="1"),), is_error=name == "b") for name in ("a", "b")
    ]
    request = ask(messages=(Message(Role.TOOL, tuple(results)),), tools=(FunctionTool("f"),))
    sent = [block["toolResult"].get("status") for block in body(request, model)["messages"][0]["content"]]
    assert sent == (["success", "error"] if status else [None, None])
    named = [change.field for change in adapt_converse(request, model).changes]
    assert named == ([] if status else ["messages[0].parts[1].tool_result.is_error"])


def test_a_conversation_with_everything():
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    sound = MediaPart(kind=MediaKind.AUDIO, data=b"x", media_type="audio/mpeg")
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
    asked = (TextPart(text="?", cache_hint=CacheHint()), picture, paper, video, sound, TextPart(text=" "))
    request = ask(
        messages=(
            Message(Role.SYSTEM, (TextPart(text="A", cache_hint=CacheHint(ttl=3600)),)),
            Message(Role.DEVELOPER, (TextPart(text="B"),)),
            Message(Role.USER, asked),
            Message(Role.ASSISTANT, said),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="a", content=(TextPart(text="1"), picture)),)),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="b", is_error=True),)),
        ),
        tools=(FunctionTool("f", "does", SCHEMA, strict=True), FunctionTool("g")),
        tool_choice=ToolChoice(ToolMode.REQUIRED),
        provider_options={"bedrock": {"additionalModelRequestFields": {"thinking": {"type": "enabled"}}}},
    )
    assert b'"input":{"n": 9007199254740993, "x": 1.0}' in raw(request)
    assert SCHEMA.encode() in raw(request)
    # It tells no maker, and so may take any media.
    image = {"image": {"format": "png", "source": {"bytes": "eA=="}}}
    assert body(request, PROFILE) == {
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
                    {"audio": {"format": "mp3", "source": {"bytes": "eA=="}}},
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
                    {"toolResult": {"toolUseId": "b", "content": [{"text": "The tool failed."}], "status": "error"}},
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
        "additionalModelRequestFields": {"thinking": {"type": "enabled"}},
    }


def test_a_conversation_with_calls_keeps_its_tools_even_where_the_caller_names_none():
    call = ToolCallPart(id="a", name="f", arguments_json="{}")
    sent = body(ask(messages=(*ask().messages, Message(Role.ASSISTANT, (call, call)))))
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


def test_no_calls_are_demanded_by_leaving_the_tools_out():
    request = ask(tools=(FunctionTool("f"),), tool_choice=ToolChoice(ToolMode.NONE))
    assert "toolConfig" not in body(request)
    assert adapt_converse(request, CLAUDE).unsupported == ()


def test_no_calls_cannot_be_demanded_where_there_have_been_some():
    call = Message(Role.ASSISTANT, (ToolCallPart(id="a", name="f", arguments_json="{}"),))
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="a"),))
    messages = (*ask().messages, call, result)
    request = ask(messages=messages, tools=(FunctionTool("f"),), tool_choice=ToolChoice(ToolMode.NONE))
    assert [found.field for found in adapt_converse(request, CLAUDE).unsupported] == ["tool_choice.mode"]
    assert body(request)["toolConfig"]["tools"][0]["toolSpec"]["name"] == "f"


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(parallel_tool_calls=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolMode.REQUIRED, parallel_tool_calls=True), {"disable_parallel_tool_use": False}),
        (ToolChoice(function_name="f", parallel_tool_calls=False), {"disable_parallel_tool_use": True}),
    ],
)
def test_one_call_at_a_time_is_said_in_claudes_own_words_and_the_choice_but_once(choice, sent):
    request = ask(tools=(FunctionTool("f"),), tool_choice=choice)
    assert body(request)["additionalModelRequestFields"] == {"tool_choice": sent}


def test_settings_stand_where_converse_wants_them():
    config = GenerationConfig(
        max_output_tokens=7,
        temperature=0.0,
        top_k=3,
        stop_sequences=("END",),
        response_format=JsonSchemaFormat("", SCHEMA),
    )
    sent = body(ask(generation=config))
    del sent["messages"]
    assert sent == {
        "inferenceConfig": {"maxTokens": 7, "temperature": 0, "stopSequences": ["END"]},
        "additionalModelRequestFields": {"top_k": 3},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
        "outputConfig": {
            "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": SCHEMA, "name": "answer"}}}
        },
    }


def test_options_add_to_what_is_set_and_change_nothing_of_what_is_asked():
    own = {
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "additionalModelRequestFields": {"anthropic_beta": ["b"], "top_k": 4.0},
        "additionalModelResponseFieldPaths": ["/container", "/stop_sequence"],
        "inferenceConfig": {"topP": 0.5},
        "requestMetadata": {"team": "x"},
        "messages": [],
    }
    config = GenerationConfig(max_output_tokens=7, top_k=3, stop_sequences=("END",))
    sent = body(ask("Hello?", generation=config, provider_options={"bedrock": own, "openai": {"n": 1}}))
    assert sent == {
        "messages": [{"role": "user", "content": [{"text": "Hello?"}]}],
        "inferenceConfig": {"maxTokens": 7, "stopSequences": ["END"], "topP": 0.5},
        "additionalModelRequestFields": {"anthropic_beta": ["b"], "top_k": 4},
        "additionalModelResponseFieldPaths": ["/container", "/stop_sequence"],
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "requestMetadata": {"team": "x"},
    }


def test_a_tool_of_bedrocks_own_goes_along_as_it_is():
    tools = (ProviderTool("bedrock", "systemTool", {"name": "nova_grounding"}), FunctionTool("f"))
    assert body(ask(tools=tools))["toolConfig"]["tools"][0] == {"systemTool": {"name": "nova_grounding"}}


@pytest.mark.parametrize(
    ("model", "effort", "more"),
    [
        (CLAUDE, ReasoningEffort.LOW, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (
            NEWEST_CLAUDE,
            ReasoningEffort.XHIGH,
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "xhigh"}},
        ),
        (
            "us.amazon.nova-2-lite-v1:0",
            ReasoningEffort.MAX,
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
        ),
        ("us.amazon.nova-2-lite-v1:0", ReasoningEffort.NONE, None),
        ("openai.gpt-oss-120b-1:0", ReasoningEffort.MINIMAL, {"reasoning_effort": "low"}),
        ("openai.gpt-oss-120b-1:0", ReasoningEffort.NONE, {"reasoning_effort": "low"}),
        ("openai.gpt-5", ReasoningEffort.NONE, {"reasoning": {"effort": "none"}}),
        ("deepseek.v3-v1:0", ReasoningEffort.HIGH, {"reasoning_effort": "high"}),
    ],
)
def test_each_maker_is_told_in_its_own_words_how_much_to_think(model, effort, more):
    config = GenerationConfig(reasoning=ReasoningConfig(effort))
    assert body(ask(generation=config), model).get("additionalModelRequestFields") == more


@pytest.mark.parametrize(
    ("model", "more"),
    [
        (CLAUDE, {"top_k": 3}),
        (NOVA, {"inferenceConfig": {"topK": 3}}),
        ("cohere.command-r-v1:0", {"k": 3}),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/x", {"top_k": 3}),
        ("meta.llama4-maverick-17b-instruct-v1:0", None),
    ],
)
def test_each_maker_has_its_own_place_for_top_k(model, more):
    sent = body(ask(generation=GenerationConfig(top_k=3)), model)
    assert sent.get("additionalModelRequestFields") == more


def test_names_of_documents_are_of_few_characters_and_each_is_there_once():
    names = ["Q3/über.pdf", "q3 ber pdf", "", "document", "x" * 300, "._"]
    papers = tuple(
        MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="text/plain", filename=name) for name in names
    )
    last = MediaPart(kind=MediaKind.DOCUMENT, uri="s3://bucket/x.md")
    result = ToolResultPart(tool_call_id="a", content=(last,))
    asked = Message(Role.USER, (*papers, TextPart(text="?")))
    sent = body(ask(messages=(asked, Message(Role.TOOL, (result,)))))["messages"][0]["content"]
    found = [block["document"] for block in [*sent[1:-1], *sent[0]["toolResult"]["content"]]]
    assert [document["name"] for document in found] == [
        "Q3 ber pdf",
        "q3 ber pdf 2",
        "document",
        "document 2",
        "x" * 190,
        "document 3",
        "document 4",
    ]
    assert found[-1]["format"] == "md"


@pytest.mark.parametrize(
    ("uri", "media_type", "name"),
    [
        ("s3://bucket/a.JPG", "", "jpeg"),
        ("s3://bucket/a", "image/webp; q=1", "webp"),
        ("s3://bucket/a.png", "image/gif", "gif"),
    ],
)
def test_a_format_is_that_of_the_type_else_of_the_address(uri, media_type, name):
    picture = MediaPart(kind=MediaKind.IMAGE, uri=uri, media_type=media_type)
    sent = body(ask(messages=(Message(Role.USER, (picture,)),)))
    assert sent["messages"][0]["content"][0]["image"]["format"] == name


def test_a_hint_within_a_result_stands_behind_it():
    result = ToolResultPart(tool_call_id="a", content=(TextPart(text="1", cache_hint=CacheHint()),))
    sent = body(ask(messages=(Message(Role.TOOL, (result,)),)))["messages"][0]["content"]
    assert [next(iter(block)) for block in sent] == ["toolResult", "cachePoint"]


def test_results_stand_first_in_their_turn_with_what_is_marked_behind_them():
    call = ToolCallPart(id="a", name="f", arguments_json="{}")
    asked = (TextPart(text="Wait.", cache_hint=CacheHint()), TextPart(text="Well?"))
    served = OpaquePart(provider_kind="bedrock", type="toolResult", value={"toolUseId": "s"})
    messages = (
        *ask().messages,
        Message(Role.ASSISTANT, (TextPart(text="So."), served, call)),
        Message(Role.USER, asked),
        Message(Role.TOOL, (ToolResultPart(tool_call_id="a", cache_hint=CacheHint()),)),
    )
    _, said, sent = (turn["content"] for turn in body(ask(messages=messages))["messages"])
    assert [next(iter(block)) for block in said] == ["text", "toolResult", "toolUse"]
    assert [next(iter(block)) for block in sent] == ["toolResult", "cachePoint", "text", "cachePoint", "text"]
    assert [block["text"] for block in sent if "text" in block] == ["Wait.", "Well?"]


def test_ids_of_calls_that_bedrock_would_refuse_are_replaced_alike_in_calls_and_results():
    call = ToolCallPart(id="call|1/é", name="f", arguments_json="")
    messages = (
        *ask().messages,
        Message(Role.ASSISTANT, (call,)),
        Message(Role.TOOL, (ToolResultPart(tool_call_id=call.id),)),
    )
    _, first, second = body(ask(messages=messages))["messages"]
    used = first["content"][0]["toolUse"]
    assert used["input"] == {}
    assert used["toolUseId"] == second["content"][0]["toolResult"]["toolUseId"]
    assert re.fullmatch(r"[a-zA-Z0-9_.:-]{1,64}", used["toolUseId"])


def test_earlier_thinking_stays_away_where_the_model_does_not_think():
    thought = Message(
        Role.ASSISTANT, (ReasoningPart(text="Hm.", continuity_token=signature_token("s")), TextPart(text="A"))
    )
    messages = (*ask().messages, thought)
    assert body(ask(messages=messages))["messages"][1]["content"] == [{"text": "A"}]
    assert "reasoningContent" in body(ask(messages=messages), NOVA)["messages"][1]["content"][0]
    config = GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.LOW))
    for kind, blocks in (("enabled", 2), ("disabled", 1)):
        own = {"bedrock": {"additionalModelRequestFields": {"thinking": {"type": kind}}}}
        asked = ask(messages=messages, generation=config, provider_options=own)
        assert len(body(asked)["messages"][1]["content"]) == blocks


def test_a_prompt_to_count_is_the_conversation_alone():
    request = ask("x", tools=(FunctionTool("f"),), generation=GenerationConfig(max_output_tokens=1))
    assert json.loads(encode_count(request, CLAUDE))["input"]["converse"].keys() == {"messages", "toolConfig"}


def test_a_prompt_to_count_has_the_options_that_change_it():
    more = {"anthropic_beta": ["b"], "thinking": {"type": "enabled", "budget_tokens": 2000.0}}
    own = {
        "system": [{"text": "Be brief."}],
        "toolConfig": {"x": 1.0},
        "additionalModelRequestFields": more,
        "inferenceConfig": {"maxTokens": 9.0},
        "guardrailConfig": {},
        "messages": [],
    }
    config = GenerationConfig(top_k=3)
    request = ask("x", tools=(FunctionTool("f"),), generation=config, provider_options={"bedrock": own})
    counted, sent = json.loads(encode_count(request, CLAUDE))["input"]["converse"], body(request)
    assert counted.keys() == {"messages", "system", "toolConfig", "additionalModelRequestFields"}
    assert {name: sent[name] for name in counted} == counted
    assert counted["additionalModelRequestFields"]["top_k"] == 3


def test_a_prompt_with_variables_is_not_counted():
    request = ask(provider_options={"bedrock": {"promptVariables": {}}})
    with pytest.raises(CapabilityNotSupported):
        encode_count(request, CLAUDE)
