"""What a conversation becomes on Google's wire: tools, settings and options, as whole bodies."""

import json

import pytest

from llmproxy_grpc.errors import CapabilityNotSupported
from llmproxy_grpc.messages import (
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    Modality,
    ProviderTool,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
)
from llmproxy_grpc.providers.generate_content.features import adapt_content
from llmproxy_grpc.providers.generate_content.request import encode_count, encode_request, encode_vertex_count
from tests.providers.conversations import ask
from tests.unit.providers.generate_content.encoding import OTHER, SCHEMA, THREE, TWO, body, generation, raw


def test_a_plain_request_is_its_contents():
    assert body(ask("Hello?")) == {"contents": [{"role": "user", "parts": [{"text": "Hello?"}]}]}


def test_tools_keep_their_schema_to_the_byte():
    tools = (FunctionTool("f", "does", SCHEMA), FunctionTool("g"), ProviderTool("gemini", "googleSearch", {}))
    assert SCHEMA.encode() in raw(ask(tools=tools), THREE)
    assert body(ask(tools=tools), THREE)["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "does", "parametersJsonSchema": json.loads(SCHEMA)},
                {"name": "g"},
            ]
        },
        {"googleSearch": {}},
    ]
    assert body(ask(tools=tools[2:]))["tools"] == [{"googleSearch": {}}]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(), None),
        (ToolChoice(ToolMode.AUTO), {"mode": "AUTO"}),
        (ToolChoice(ToolMode.NONE), {"mode": "NONE"}),
        (ToolChoice(ToolMode.REQUIRED), {"mode": "ANY"}),
        (ToolChoice(function_name="f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_the_choice_of_tools(choice, sent):
    asked = body(ask(tools=(FunctionTool("f"),), tool_choice=choice))
    assert asked.get("toolConfig") == (sent and {"functionCallingConfig": sent})


@pytest.mark.parametrize(
    ("choice", "mode"),
    [
        (None, "VALIDATED"),
        (ToolChoice(ToolMode.AUTO), "VALIDATED"),
        (ToolChoice(ToolMode.REQUIRED), "ANY"),
        (ToolChoice(ToolMode.NONE), "NONE"),
    ],
)
def test_strict_functions_are_validated_where_nothing_stricter_holds(choice, mode):
    asked = body(ask(tools=(FunctionTool("f", strict=True), FunctionTool("g")), tool_choice=choice))
    assert asked["toolConfig"] == {"functionCallingConfig": {"mode": mode}}


@pytest.mark.parametrize(
    ("model", "vertex", "config"),
    [(THREE, False, {"includeServerSideToolInvocations": True}), (THREE, True, None), (TWO, False, None)],
)
def test_functions_beside_tools_of_the_provider(model, vertex, config):
    request = ask(tools=(FunctionTool("f"), ProviderTool("gemini", "googleSearch", {})))
    adapted = adapt_content(request, model, vertex=vertex).request
    assert json.loads(encode_request(adapted, model, vertex=vertex)).get("toolConfig") == config
    alone = ask(tools=request.tools[1:], tool_choice=ToolChoice(ToolMode.AUTO))
    assert "toolConfig" not in body(alone, model)


def test_settings_by_googles_names():
    assert generation(
        OTHER,
        max_output_tokens=7,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        seed=1,
        presence_penalty=1.0,
        frequency_penalty=-1.0,
        candidate_count=2,
        stop_sequences=("END",),
        top_logprobs=3,
        output_modalities=(Modality.TEXT, Modality.IMAGE),
        response_format=JsonSchemaFormat("n", SCHEMA),
    ) == {
        "maxOutputTokens": 7,
        "temperature": 0,
        "topP": 0.5,
        "topK": 3,
        "seed": 1,
        "presencePenalty": 1,
        "frequencyPenalty": -1,
        "candidateCount": 2,
        "stopSequences": ["END"],
        "responseLogprobs": True,
        "logprobs": 3,
        "responseModalities": ["TEXT", "IMAGE"],
        "responseMimeType": "application/json",
        "responseJsonSchema": json.loads(SCHEMA),
    }
    assert generation(response_format=JsonObjectFormat()) == {"responseMimeType": "application/json"}
    assert generation(top_logprobs=0) == {"responseLogprobs": True}


def test_options_are_merged_last():
    request = ask(provider_options={"gemini": {"safetySettings": [{"category": "X"}], "contents": [], "model": "x"}})
    assert body(request)["safetySettings"] == [{"category": "X"}]


def test_a_prompt_to_count_is_the_whole_request_or_what_vertex_takes_of_it():
    request = ask("x", tools=(FunctionTool("f"),), tool_choice=ToolChoice(ToolMode.NONE))
    counted = json.loads(encode_count(request, TWO, name="models/m"))
    assert counted == {"generateContentRequest": {"model": "models/m", **body(request)}}
    assert json.loads(encode_vertex_count(request, TWO)).keys() == {"contents", "tools"}
    cached = ask("x", provider_options={"gemini": {"cachedContent": "cachedContents/c"}})
    assert b"cachedContents/c" in encode_count(cached, TWO, name="models/m")
    with pytest.raises(CapabilityNotSupported):
        encode_vertex_count(cached, TWO)


def test_words_before_a_call_that_nobody_answers_may_begin_a_conversation():
    begun = Message(Role.ASSISTANT, (TextPart(text="Hello."), ToolCallPart(id="a", name="f", arguments_json="{}")))
    adapted = adapt_content(ask(messages=(begun, *ask().messages)), TWO)
    assert [found.field for found in adapted.unsupported] == ["messages[0].parts[1].tool_call"]
    assert adapted.request.messages[0].parts == begun.parts[:1]
