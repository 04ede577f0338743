"""What a conversation becomes on Cohere's wire, as whole bodies."""

import json
from typing import Any

import pytest

from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedPurpose,
    EmbedRequest,
    FunctionTool,
    GenerationConfig,
    JsonSchemaFormat,
    MediaKind,
    MediaPart,
    Message,
    ReasoningConfig,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.cohere_chat.features import features_of
from llmproxy_grpc.providers.cohere_chat.request import encode_embed, encode_request
from llmproxy_grpc.providers.cohere_chat.thinking import token
from tests.providers.conversations import ask

SCHEMA = '{"type": "object",  "properties": {"n": {"const": 9007199254740993}}}'


def raw(request: ChatRequest, *, stream: bool = False) -> bytes:
    return encode_request(adapt(request, features_of("command-a")).request, "command-a", stream=stream)


def body(request: ChatRequest, **options: Any) -> dict[str, Any]:
    return json.loads(raw(request, **options))


def test_a_plain_request_says_whether_to_stream():
    messages = [{"role": "user", "content": "Hello?"}]
    assert body(ask("Hello?"), stream=True) == {"model": "command-a", "messages": messages, "stream": True}


def test_a_message_of_the_model_that_says_nothing_is_left_out():
    hello = ask("Hello?").messages[0]
    request = ask(messages=(hello, Message(Role.ASSISTANT, (ReasoningPart(redacted=True), TextPart(text=""))), hello))
    assert body(request)["messages"] == [{"role": "user", "content": "Hello?"}] * 2


def test_a_conversation_with_plans_thinking_and_pictures():
    picture = MediaPart(kind=MediaKind.IMAGE, uri="https://example.test/i.png")
    said = (
        ReasoningPart(text="I will look.", continuity_token=token(plan=True)),
        ReasoningPart(redacted=True, continuity_token=token(plan=False, hidden="Hm: so.")),
        ReasoningPart(text="of another target"),
        TextPart(text="So:"),
        ToolCallPart(id="c1", name="f", arguments_json='{"n":  1}'),
    )
    request = ask(
        messages=(
            Message(Role.DEVELOPER, (TextPart(text="Be brief."),)),
            Message(Role.USER, (TextPart(text="?"), picture)),
            Message(Role.ASSISTANT, said),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="c1", content=(TextPart(text="42"),)),)),
        ),
        tools=(FunctionTool("f", "does", SCHEMA, strict=True),),
        tool_choice=ToolChoice(ToolMode.REQUIRED),
    )
    assert SCHEMA.encode() in raw(request)
    function = {"name": "f", "description": "does", "parameters": json.loads(SCHEMA)}
    assert body(request) == {
        "model": "command-a",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "?"},
                    {"type": "image_url", "image_url": {"url": "https://example.test/i.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "Hm: so."}, {"type": "text", "text": "So:"}],
                "tool_plan": "I will look.",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"n":  1}'}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ],
        "stream": False,
        "tools": [{"type": "function", "function": function}],
        "strict_tools": True,
        "tool_choice": "REQUIRED",
    }


def test_settings_by_coheres_names():
    config = GenerationConfig(
        max_output_tokens=7,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        seed=1,
        presence_penalty=0.25,
        frequency_penalty=0.75,
        top_logprobs=0,
        stop_sequences=("END",),
        reasoning=ReasoningConfig(budget_tokens=100),
        response_format=JsonSchemaFormat("n", SCHEMA),
    )
    sent = body(ask(generation=config, provider_options={"cohere": {"safety_mode": "OFF", "stream": True}}))
    del sent["messages"], sent["model"]
    assert sent == {
        "stream": False,
        "max_tokens": 7,
        "temperature": 0,
        "p": 0.5,
        "k": 3,
        "seed": 1,
        "presence_penalty": 0.25,
        "frequency_penalty": 0.75,
        "logprobs": True,
        "stop_sequences": ["END"],
        "response_format": {"type": "json_object", "json_schema": json.loads(SCHEMA)},
        "thinking": {"type": "enabled", "token_budget": 100},
        "safety_mode": "OFF",
    }


def test_vectors_say_what_they_are_for():
    request = EmbedRequest("m", (TextPart(text="a"), TextPart(text="b")), 256, EmbedPurpose.QUERY)
    assert json.loads(encode_embed(request, "embed-v4.0")) == {
        "model": "embed-v4.0",
        "texts": ["a", "b"],
        "input_type": "search_query",
        "embedding_types": ["float"],
        "truncate": "NONE",
        "output_dimension": 256,
    }
    unsaid = EmbedRequest("m", (TextPart(text="a"),), provider_options={"cohere": {"truncate": "END"}})
    sent = json.loads(encode_embed(unsaid, "embed-v4.0"))
    assert (sent["input_type"], sent["truncate"]) == ("search_document", "END")


@pytest.mark.parametrize(
    ("model", "chooses"),
    [
        ("embed-v4.0", True),
        ("embed-v5.0", True),
        ("embed-multilingual-light-v3.0", False),
        ("embed-english-v2.0", False),
    ],
)
def test_the_length_of_vectors_can_be_chosen_from_version_4_on(model, chooses):
    assert features_of(model).embed.dimensions is chooses
