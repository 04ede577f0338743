"""What a conversation becomes on Ollama's wire, as whole bodies."""

import json
from typing import Any

import pytest

from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedRequest,
    FunctionTool,
    GenerationConfig,
    JsonObjectFormat,
    JsonSchemaFormat,
    MediaKind,
    MediaPart,
    Message,
    ReasoningConfig,
    ReasoningEffort,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.ollama_chat.features import FEATURES
from llmproxy_grpc.providers.ollama_chat.request import encode_embed, encode_request
from tests.providers.conversations import ask

SCHEMA = '{"type": "object",  "properties": {"n": {"const": 9007199254740993}}}'


def raw(request: ChatRequest, *, stream: bool = False) -> bytes:
    return encode_request(adapt(request, FEATURES).request, "m", stream=stream)


def body(request: ChatRequest, **options: Any) -> dict[str, Any]:
    return json.loads(raw(request, **options))


def test_a_result_has_the_name_of_its_call_whatever_the_application_calls_it():
    call = ToolCallPart(id="c1", name="f", arguments_json="{}")
    results = (ToolResultPart(tool_call_id="c1", name="otherwise"), ToolResultPart(tool_call_id="?", name="h"))
    _, *heard = body(ask(messages=(Message(Role.ASSISTANT, (call,)), Message(Role.TOOL, results))))["messages"]
    assert [result["tool_name"] for result in heard] == ["f", "h"]


def test_a_plain_request_says_whether_to_stream():
    messages = [{"role": "user", "content": "Hello?"}]
    assert body(ask("Hello?")) == {"model": "m", "messages": messages, "stream": False}
    assert body(ask("Hello?"), stream=True)["stream"] is True


def test_a_conversation_with_tools_and_pictures():
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    call = ToolCallPart(id="c1", name="f", arguments_json='{"n": 9007199254740993, "x": 1.0}')
    request = ask(
        messages=(
            Message(Role.DEVELOPER, (TextPart(text="Be brief."),)),
            Message(Role.USER, (TextPart(text="a"), picture, TextPart(text="b"))),
            Message(Role.ASSISTANT, (ReasoningPart(text="Hm."), TextPart(text="So:"), call)),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="c1", content=(TextPart(text="42"),)),)),
        ),
        tools=(FunctionTool("f", "does", SCHEMA),),
    )
    assert b'"arguments":{"n": 9007199254740993, "x": 1.0}' in raw(request)
    assert SCHEMA.encode() in raw(request)
    assert body(request) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "ab", "images": ["eA=="]},
            {
                "role": "assistant",
                "content": "So:",
                "thinking": "Hm.",
                "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"n": 9007199254740993, "x": 1.0}}}],
            },
            {"role": "tool", "content": "42", "tool_name": "f", "tool_call_id": "c1"},
        ],
        "stream": False,
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "does", "parameters": json.loads(SCHEMA)}}
        ],
    }


def test_results_stand_in_the_order_of_their_calls_as_they_go_by_name():
    calls = tuple(ToolCallPart(id=each, name="f", arguments_json="{}") for each in "ab")
    results = tuple(ToolResultPart(tool_call_id=each, content=(TextPart(text=each),)) for each in "ba")
    sent = body(ask(messages=(Message(Role.ASSISTANT, calls), Message(Role.TOOL, results))))["messages"]
    assert [message["content"] for message in sent[1:]] == ["a", "b"]


def test_settings_are_options():
    config = GenerationConfig(
        max_output_tokens=7,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        seed=1,
        presence_penalty=0.25,
        frequency_penalty=0.75,
        stop_sequences=("END",),
        top_logprobs=2,
    )
    sent = body(ask(generation=config, provider_options={"ollama": {"keep_alive": "5m", "stream": True}}))
    assert sent["options"] == {
        "num_predict": 7,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 3,
        "seed": 1,
        "presence_penalty": 0.25,
        "frequency_penalty": 0.75,
        "stop": ["END"],
    }
    assert (sent["logprobs"], sent["top_logprobs"], sent["keep_alive"], sent["stream"]) == (True, 2, "5m", False)


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"response_format": JsonObjectFormat()}, {"format": "json"}),
        ({"response_format": JsonSchemaFormat("n", SCHEMA)}, {"format": json.loads(SCHEMA)}),
        ({"reasoning": ReasoningConfig(ReasoningEffort.NONE)}, {"think": False}),
        ({"reasoning": ReasoningConfig(ReasoningEffort.MAX)}, {"think": "high"}),
        ({"reasoning": ReasoningConfig(include=False)}, {}),
    ],
)
def test_form_and_thinking(settings, sent):
    asked = body(ask(generation=GenerationConfig(**settings)))
    assert {name: asked[name] for name in ("format", "think") if name in asked} == sent


def test_vectors():
    request = EmbedRequest("m", (TextPart(text="a"), TextPart(text="b")), 64)
    sent = {"model": "m", "input": ["a", "b"], "truncate": False, "dimensions": 64}
    assert json.loads(encode_embed(request, "m")) == sent
    cut = EmbedRequest("m", (TextPart(text="a"),), provider_options={"ollama": {"truncate": True}})
    assert json.loads(encode_embed(cut, "m"))["truncate"] is True
