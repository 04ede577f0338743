"""What a conversation becomes on Google's wire, as whole bodies."""

import json
from typing import Any

import pytest

from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedPurpose,
    EmbedRequest,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    MediaKind,
    MediaPart,
    Message,
    Modality,
    OpaquePart,
    ProviderTool,
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
from llmproxy_grpc.providers.generate_content.embeddings import encode_batch, encode_predict
from llmproxy_grpc.providers.generate_content.features import adapt_content
from llmproxy_grpc.providers.generate_content.history import ANY_SIGNATURE, OUR_ID
from llmproxy_grpc.providers.generate_content.request import encode_count, encode_request, encode_vertex_count
from tests.providers.conversations import ask

TWO, THREE = "gemini-2.5-flash", "gemini-3-pro-preview"
SCHEMA = '{"type": "object",  "properties": {"n": {"const": 9007199254740993}}}'


def raw(request: ChatRequest, model: str = TWO) -> bytes:
    return encode_request(adapt_content(request, model).request, model)


def body(request: ChatRequest, model: str = TWO) -> dict[str, Any]:
    return json.loads(raw(request, model))


def contents(*messages: Message, model: str = TWO) -> list[dict[str, Any]]:
    return body(ask(messages=messages), model)["contents"]


def generation(model: str = TWO, **settings: Any) -> dict[str, Any]:
    return body(ask(generation=GenerationConfig(**settings)), model).get("generationConfig", {})


def test_a_plain_request_is_its_contents():
    assert body(ask("Hello?")) == {"contents": [{"role": "user", "parts": [{"text": "Hello?"}]}]}


def test_instructions_stand_outside_and_neighbours_are_one_turn():
    request = ask(
        messages=(
            Message(Role.SYSTEM, (TextPart(text="A"),)),
            Message(Role.USER, (TextPart(text="x"),)),
            Message(Role.USER, (TextPart(text="y"), TextPart(text=""))),
            Message(Role.DEVELOPER, (TextPart(text="B"),)),
            Message(Role.ASSISTANT, (TextPart(text="z"),)),
        )
    )
    assert body(request) == {
        "systemInstruction": {"parts": [{"text": "A"}, {"text": "B"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "x"}, {"text": "y"}]},
            {"role": "model", "parts": [{"text": "z"}]},
        ],
    }


CALLS = (
    ToolCallPart(id="fc1", name="f", arguments_json='{"n": 9007199254740993, "x": 1.0}', continuity_token=b"CiQB"),
    ToolCallPart(id=f"{OUR_ID}1", name="g", arguments_json=""),
)
RESULTS = (
    ToolResultPart(tool_call_id="fc1", content=(TextPart(text='{"a":  1.0}'),)),
    ToolResultPart(tool_call_id=f"{OUR_ID}1", content=(TextPart(text="plain"),)),
)


def test_calls_and_results_go_by_name_with_arguments_to_the_byte():
    request = ask(messages=(Message(Role.ASSISTANT, CALLS), Message(Role.TOOL, RESULTS)))
    assert b'"args":{"n": 9007199254740993, "x": 1.0}' in raw(request, THREE)
    assert b'"response":{"a":  1.0}' in raw(request, THREE)
    assert body(request, THREE)["contents"] == [
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"id": "fc1", "name": "f", "args": {"n": 9007199254740993, "x": 1.0}},
                    "thoughtSignature": "CiQB",
                },
                {"functionCall": {"name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "fc1", "name": "f", "response": {"a": 1.0}}},
                {"functionResponse": {"name": "g", "response": {"result": "plain"}}},
            ],
        },
    ]


@pytest.mark.parametrize(("model", "signed"), [(TWO, False), (THREE, True)])
def test_calls_of_another_target_get_a_stand_in_where_the_model_wants_a_signature(model, signed):
    strangers = tuple(ToolCallPart(id=f"call_{n}", name="f", arguments_json="{}") for n in range(2))
    first, second = contents(Message(Role.ASSISTANT, strangers), model=model)[0]["parts"]
    assert first.get("thoughtSignature") == (ANY_SIGNATURE if signed else None)
    assert "thoughtSignature" not in second


def test_errors_and_pictures_of_tools():
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    result = ToolResultPart(tool_call_id="c", name="f", content=(TextPart(text="no"), picture), is_error=True)
    request = ask(messages=(Message(Role.TOOL, (result,)),))
    assert [found.field for found in adapt_content(request, TWO).unsupported] == [
        "messages[0].parts[0].tool_result.content[1].image"
    ]
    assert contents(Message(Role.TOOL, (result,)), model=THREE)[0]["parts"] == [
        {
            "functionResponse": {
                "id": "c",
                "name": "f",
                "response": {"error": "no"},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": "eA=="}}],
            }
        }
    ]


def test_media_thinking_and_blocks_of_its_own():
    message = Message(
        Role.ASSISTANT,
        (
            ReasoningPart(text="Hm.", continuity_token=b"CiQD"),
            ReasoningPart(text="of another target"),
            TextPart(text="", continuity_token=b"CiQE"),
            OpaquePart(provider_kind="gemini", type="executableCode", value={"language": "PYTHON", "code": "1"}),
        ),
    )
    assert contents(message)[0]["parts"] == [
        {"text": "Hm.", "thought": True, "thoughtSignature": "CiQD"},
        {"text": "", "thoughtSignature": "CiQE"},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
    ]
    media = (
        MediaPart(kind=MediaKind.VIDEO, uri="gs://bucket/v.mp4", media_type="video/mp4"),
        MediaPart(kind=MediaKind.DOCUMENT, uri="https://example.test/d"),
        MediaPart(kind=MediaKind.AUDIO, data=b"x", media_type="audio/wav"),
    )
    assert contents(Message(Role.USER, media))[0]["parts"] == [
        {"fileData": {"fileUri": "gs://bucket/v.mp4", "mimeType": "video/mp4"}},
        {"fileData": {"fileUri": "https://example.test/d"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "eA=="}},
    ]


def test_tools_keep_their_schema_to_the_byte():
    tools = (FunctionTool("f", "does", SCHEMA), FunctionTool("g"), ProviderTool("gemini", "googleSearch", {}))
    assert SCHEMA.encode() in raw(ask(tools=tools))
    assert body(ask(tools=tools))["tools"] == [
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


def test_settings_by_googles_names():
    assert generation(
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


@pytest.mark.parametrize(
    ("model", "reasoning", "sent"),
    [
        (TWO, ReasoningConfig(), {}),
        (TWO, ReasoningConfig(ReasoningEffort.NONE), {"thinkingBudget": 0}),
        (TWO, ReasoningConfig(ReasoningEffort.MAX, include=True), {"thinkingBudget": 24576, "includeThoughts": True}),
        (
            THREE,
            ReasoningConfig(ReasoningEffort.LOW, include=False),
            {"thinkingLevel": "LOW", "includeThoughts": False},
        ),
        (THREE, ReasoningConfig(ReasoningEffort.NONE), {"thinkingLevel": "MINIMAL"}),
        (THREE, ReasoningConfig(budget_tokens=100), {"thinkingBudget": 100}),
    ],
)
def test_how_much_to_think_is_said_as_the_model_wants_it(model, reasoning, sent):
    assert generation(model, reasoning=reasoning).get("thinkingConfig", {}) == sent


def test_a_model_that_always_thinks_is_told_the_least_and_so_is_the_caller():
    adapted = adapt_content(ask(generation=GenerationConfig(reasoning=ReasoningConfig(ReasoningEffort.NONE))), THREE)
    assert adapted.unsupported == ()
    assert [change.field for change in adapted.changes] == ["generation.reasoning.effort"]


def test_options_are_merged_last():
    request = ask(provider_options={"gemini": {"safetySettings": [{"category": "X"}], "contents": [], "model": "x"}})
    assert body(request)["safetySettings"] == [{"category": "X"}]


def test_a_prompt_to_count_is_the_whole_request_or_what_vertex_takes_of_it():
    request = ask("x", tools=(FunctionTool("f"),), tool_choice=ToolChoice(ToolMode.NONE))
    counted = json.loads(encode_count(request, TWO, name="models/m"))
    assert counted == {"generateContentRequest": {"model": "models/m", **body(request)}}
    assert json.loads(encode_vertex_count(request, TWO)).keys() == {"contents", "tools"}


def test_vectors_are_asked_for_with_their_purpose_and_length():
    request = EmbedRequest("m", (TextPart(text="a"), TextPart(text="b")), 64, EmbedPurpose.QUERY)
    assert json.loads(encode_batch(request, "models/m")) == {
        "requests": [
            {
                "model": "models/m",
                "content": {"parts": [{"text": text}]},
                "taskType": "RETRIEVAL_QUERY",
                "outputDimensionality": 64,
            }
            for text in ("a", "b")
        ]
    }
    assert json.loads(encode_predict(request)) == {
        "instances": [{"content": text, "task_type": "RETRIEVAL_QUERY"} for text in ("a", "b")],
        "parameters": {"outputDimensionality": 64},
    }
