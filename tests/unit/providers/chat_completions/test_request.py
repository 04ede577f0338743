import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    CacheHint,
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
from llmproxy_grpc.providers.chat_completions.history import CUSTOM_CALL
from llmproxy_grpc.providers.chat_completions.quirks import COMPATIBLE, OPENAI, Quirks, ReasoningStyle
from llmproxy_grpc.providers.chat_completions.request import RequestEncoder
from tests.providers.conversations import ask

TOOL = FunctionTool("look_up", "Looks up", '{ "type":"object" , "properties":{"n":{"maximum":9007199254740993}}}')


def raw(request: Any, quirks: Quirks = OPENAI, *, kinds: tuple[str, ...] = ("openai",), stream: bool = False) -> bytes:
    return RequestEncoder(quirks, kinds).encode(request, "gpt-test", stream=stream)


def body(request: Any, quirks: Quirks = OPENAI, **options: Any) -> dict[str, Any]:
    return json.loads(raw(request, quirks, **options))


def messages(*said: Message, quirks: Quirks = OPENAI) -> list[dict[str, Any]]:
    return body(ask(messages=said), quirks)["messages"]


def user(*parts: Any) -> Message:
    return Message(Role.USER, parts)


def generation(quirks: Quirks = OPENAI, **settings: Any) -> dict[str, Any]:
    encoded = body(ask(generation=GenerationConfig(**settings)), quirks)
    del encoded["model"], encoded["messages"]
    return encoded


def test_a_bare_conversation_sends_nothing_that_was_not_asked_for():
    assert raw(ask("Hi")) == b'{"model":"gpt-test","messages":[{"role":"user","content":"Hi"}]}'


def test_a_stream_asks_for_its_usage():
    encoded = body(ask(), stream=True)
    assert encoded["stream"] is True
    assert encoded["stream_options"] == {"include_usage": True}


def test_a_server_without_stream_options_is_sent_none():
    assert "stream_options" not in body(ask(), Quirks(stream_options=False), stream=True)


def test_every_role_has_its_name():
    said = [Message(role, (TextPart(text="x"),)) for role in (Role.SYSTEM, Role.DEVELOPER, Role.USER, Role.ASSISTANT)]
    assert [each["role"] for each in messages(*said)] == ["system", "developer", "user", "assistant"]


def test_developer_becomes_system_where_the_role_is_unknown():
    assert messages(Message(Role.DEVELOPER, (TextPart(text="x"),)), quirks=COMPATIBLE)[0]["role"] == "system"


def test_a_participants_name_is_sent():
    assert messages(Message(Role.USER, (TextPart(text="x"),), "ann"))[0]["name"] == "ann"


def test_several_texts_of_a_user_stay_apart():
    assert messages(user(TextPart(text="a"), TextPart(text="b")))[0]["content"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]


def test_what_the_assistant_said_around_a_tool_call_is_one_text_again():
    said = Message(
        Role.ASSISTANT,
        (TextPart(text="Let me"), ToolCallPart(id="1", name="f", arguments_json="{}"), TextPart(text=" see")),
    )
    assert messages(said)[0]["content"] == "Let me see"


def test_arguments_go_back_to_the_byte():
    arguments = '{"a": 1.0,"b":9007199254740993 , "c":"\\u00e9", broken'
    said = messages(Message(Role.ASSISTANT, (ToolCallPart(id="c1", name="f", arguments_json=arguments),)))
    assert said == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}],
        }
    ]


def test_a_custom_tool_call_goes_back_in_its_own_shape():
    part = ToolCallPart(id="c1", name="sh", arguments_json="ls -l", continuity_token=CUSTOM_CALL)
    (call,) = messages(Message(Role.ASSISTANT, (part,)))[0]["tool_calls"]
    assert call == {"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}}


def test_each_tool_result_is_a_message_of_its_own():
    results = (
        ToolResultPart(tool_call_id="a", content=(TextPart(text="1"),)),
        ToolResultPart(tool_call_id="b", content=(TextPart(text="2"), TextPart(text="3")), is_error=True),
        ToolResultPart(tool_call_id="c"),
    )
    assert messages(Message(Role.TOOL, results)) == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {
            "role": "tool",
            "tool_call_id": "b",
            "content": [{"type": "text", "text": "2"}, {"type": "text", "text": "3"}],
        },
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ]


def test_a_refusal_goes_back_as_one():
    (said,) = messages(Message(Role.ASSISTANT, (RefusalPart(text="No."),)))
    assert said == {"role": "assistant", "content": None, "refusal": "No."}


def test_thinking_goes_back_only_where_the_vendor_takes_it():
    said = Message(Role.ASSISTANT, (ReasoningPart(text="hm"), TextPart(text="4")))
    assert messages(said) == [{"role": "assistant", "content": "4"}]
    replayed = messages(said, quirks=Quirks(reasoning_replay="reasoning_content"))
    assert replayed == [{"role": "assistant", "content": "4", "reasoning_content": "hm"}]


def test_a_picture_of_bytes_is_a_data_url():
    part = MediaPart(kind=MediaKind.IMAGE, data=b"\x89PNG", media_type="image/png", detail=MediaDetail.LOW)
    assert messages(user(TextPart(text="?"), part))[0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,iVBORw==", "detail": "low"},
    }


def test_a_picture_of_an_address_is_sent_as_it_stands():
    part = MediaPart(kind=MediaKind.IMAGE, uri="https://example.test/cat.png?a=b#c", detail=MediaDetail.HIGH)
    assert messages(user(part))[0]["content"][0]["image_url"] == {
        "url": "https://example.test/cat.png?a=b#c",
        "detail": "high",
    }


@pytest.mark.parametrize(
    ("media_type", "name"),
    [("audio/wav", "wav"), ("audio/x-wav", "wav"), ("audio/mpeg", "mp3"), ("Audio/MP3; rate=1", "mp3")],
)
def test_sound_is_sent_by_bytes_and_format(media_type, name):
    part = MediaPart(kind=MediaKind.AUDIO, data=b"abc", media_type=media_type)
    assert messages(user(part))[0]["content"] == [
        {"type": "input_audio", "input_audio": {"data": "YWJj", "format": name}}
    ]


def test_a_document_is_sent_by_bytes_or_by_id():
    by_bytes = MediaPart(kind=MediaKind.DOCUMENT, data=b"%PDF", media_type="application/pdf", filename="a.pdf")
    by_id = MediaPart(kind=MediaKind.DOCUMENT, file_id="file-1")
    assert messages(user(by_bytes, by_id))[0]["content"] == [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]


def test_a_video_is_sent_where_videos_are_taken_and_left_out_elsewhere():
    part = MediaPart(kind=MediaKind.VIDEO, uri="https://example.test/v.mp4")
    said = user(TextPart(text="?"), part)
    assert messages(said)[0]["content"] == "?"
    assert messages(said, quirks=Quirks(video=True))[0]["content"][1] == {
        "type": "video_url",
        "video_url": {"url": "https://example.test/v.mp4"},
    }


def test_an_opaque_part_goes_back_to_its_own_kind_alone():
    part = OpaquePart(provider_kind="openai", type="thing", value={"n": 3.0, "deep": [{"x": 1.5}]})
    assert messages(user(TextPart(text="?"), part))[0]["content"][1] == {
        "type": "thing",
        "n": 3,
        "deep": [{"x": 1.5}],
    }
    other = OpaquePart(provider_kind="anthropic", type="thing", value={})
    assert messages(user(TextPart(text="?"), other))[0]["content"] == "?"


@pytest.mark.parametrize(("ttl", "control"), [(None, {}), (300.0, {"ttl": "5m"}), (3600.0, {"ttl": "1h"})])
def test_a_cache_hint_marks_its_part_where_parts_can_be_marked(ttl, control):
    said = user(TextPart(text="long", cache_hint=CacheHint(ttl)))
    assert messages(said)[0]["content"] == "long"
    assert messages(said, quirks=Quirks(cache_control=True))[0]["content"] == [
        {"type": "text", "text": "long", "cache_control": {"type": "ephemeral", **control}}
    ]


def test_a_schema_reaches_the_model_to_the_byte():
    assert b'"parameters":' + TOOL.parameters_json_schema.encode() + b"}" in raw(ask(tools=(TOOL,)))


def test_a_tool_without_arguments_has_no_schema():
    assert body(ask(tools=(FunctionTool("now", strict=False),)))["tools"] == [
        {"type": "function", "function": {"name": "now", "strict": False}}
    ]


def test_a_vendors_own_tool_is_sent_to_its_own_kind_alone():
    own = ProviderTool("openai", "custom", {"custom": {"name": "sh", "limit": 2.0}})
    other = ProviderTool("anthropic", "web_search", {})
    assert body(ask(tools=(own, other)))["tools"] == [{"type": "custom", "custom": {"name": "sh", "limit": 2}}]
    assert "tools" not in body(ask(tools=(other,), tool_choice=ToolChoice(ToolMode.AUTO)))


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(ToolMode.AUTO), {"tool_choice": "auto"}),
        (ToolChoice(ToolMode.NONE), {"tool_choice": "none"}),
        (ToolChoice(ToolMode.REQUIRED), {"tool_choice": "required"}),
        (ToolChoice(), {}),
        (
            ToolChoice(function_name="look_up", parallel_tool_calls=False),
            {"tool_choice": {"type": "function", "function": {"name": "look_up"}}, "parallel_tool_calls": False},
        ),
    ],
)
def test_the_choice_of_tools_is_sent_as_chosen(choice, sent):
    encoded = body(ask(tools=(TOOL,), tool_choice=choice))
    assert {name: encoded[name] for name in encoded if name in {"tool_choice", "parallel_tool_calls"}} == sent


def test_zero_is_a_value():
    assert generation(
        temperature=0.0, top_p=0.0, seed=0, presence_penalty=0.0, frequency_penalty=0.0, top_logprobs=0
    ) == {
        "temperature": 0.0,
        "top_p": 0.0,
        "seed": 0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logprobs": True,
    }


@given(st.floats(min_value=0, max_value=2), st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_numbers_are_sent_exactly(temperature, seed):
    encoded = generation(temperature=temperature, seed=seed)
    assert encoded == {"temperature": temperature, "seed": seed}


def test_every_setting_has_its_field():
    assert generation(
        Quirks(top_k=True),
        max_output_tokens=5,
        top_k=40,
        stop_sequences=("a", "b"),
        candidate_count=2,
        top_logprobs=3,
        logit_bias={1: 5.0, 2: -0.5},
    ) == {
        "max_completion_tokens": 5,
        "top_k": 40,
        "stop": ["a", "b"],
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
        "logit_bias": {"1": 5, "2": -0.5},
    }


def test_compatible_servers_are_sent_the_old_name_of_the_output_limit():
    assert generation(COMPATIBLE, max_output_tokens=5) == {"max_tokens": 5}


def test_what_a_vendor_lacks_is_left_out():
    quirks = Quirks(
        seed=False, n=False, penalties=False, logprobs=False, logit_bias=False, reasoning=ReasoningStyle.UNSUPPORTED
    )
    assert not generation(
        quirks,
        seed=1,
        top_k=3,
        candidate_count=2,
        presence_penalty=1.0,
        frequency_penalty=1.0,
        top_logprobs=2,
        logit_bias={1: 1.0},
        stop_sequences=("1", "2", "3", "4", "5"),
        reasoning=ReasoningConfig(ReasoningEffort.HIGH),
    )


@pytest.mark.parametrize(
    ("style", "config", "sent"),
    [
        (ReasoningStyle.EFFORT, ReasoningConfig(ReasoningEffort.NONE), {"reasoning_effort": "none"}),
        (ReasoningStyle.EFFORT, ReasoningConfig(ReasoningEffort.XHIGH, 100), {"reasoning_effort": "xhigh"}),
        (ReasoningStyle.EFFORT, ReasoningConfig(include=True), {}),
        (ReasoningStyle.THINKING, ReasoningConfig(ReasoningEffort.NONE), {"thinking": {"type": "disabled"}}),
        (ReasoningStyle.THINKING, ReasoningConfig(ReasoningEffort.MAX), {"reasoning_effort": "max"}),
        (
            ReasoningStyle.OBJECT,
            ReasoningConfig(ReasoningEffort.LOW, include=False),
            {"reasoning": {"effort": "low", "exclude": True}},
        ),
        (ReasoningStyle.OBJECT, ReasoningConfig(budget_tokens=9), {"reasoning": {"max_tokens": 9}}),
        (ReasoningStyle.OBJECT, ReasoningConfig(), {}),
    ],
)
def test_each_vendor_is_told_in_its_own_way_how_much_to_think(style, config, sent):
    assert generation(Quirks(reasoning=style), reasoning=config) == sent


def test_structured_output_keeps_the_schema_to_the_byte():
    schema = '{"type": "object","x":1e2}'
    request = ask(generation=GenerationConfig(response_format=JsonSchemaFormat("person", schema, strict=True)))
    assert b'"schema":' + schema.encode() in raw(request)
    assert body(request)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "person", "schema": json.loads(schema), "strict": True},
    }


def test_a_schema_without_a_name_gets_one():
    encoded = generation(response_format=JsonSchemaFormat("", "{}"))
    assert encoded["response_format"]["json_schema"] == {"name": "answer", "schema": {}}


def test_any_json_object_can_be_asked_for():
    assert generation(response_format=JsonObjectFormat()) == {"response_format": {"type": "json_object"}}


def test_the_end_user_is_named():
    assert body(ask(end_user_id="u-1"))["user"] == "u-1"


def test_options_of_the_kind_are_merged_last_and_those_of_the_vendor_after_them():
    request = ask(
        generation=GenerationConfig(temperature=1.0),
        provider_options={
            "openai": {"temperature": 0.5, "top_logprobs": 2.0, "metadata": {"n": [1.0, 1.5, True, None]}},
            "groq": {"top_logprobs": 5.0},
            "anthropic": {"thinking": {}},
        },
    )
    encoded = body(request, kinds=("openai", "groq"))
    assert encoded["temperature"] == 0.5
    assert encoded["top_logprobs"] == 5
    assert encoded["metadata"] == {"n": [1, 1.5, True, None]}
    assert "thinking" not in encoded
    assert b'"n":[1,1.5,true,null]' in raw(request, kinds=("openai",))


@pytest.mark.parametrize("option", ["model", "messages", "stream", "api_key", "base_url", "headers", "authorization"])
def test_options_never_change_whom_is_asked_what(option):
    request = ask("Hi", provider_options={"openai": {option: "evil"}})
    assert body(request) == body(replace(request, provider_options={}))


@given(st.text(max_size=50))
def test_any_text_arrives_unchanged(text):
    assert body(ask(text))["messages"][0]["content"] == text


def test_an_assistants_own_blocks_go_back_with_its_text():
    said = Message(
        Role.ASSISTANT,
        (
            TextPart(text="a"),
            OpaquePart(provider_kind="openai", type="thing", value={"n": 1.0}),
            ReasoningPart(text="h"),
        ),
    )
    assert messages(said)[0]["content"] == [{"type": "text", "text": "a"}, {"type": "thing", "n": 1}]


def test_a_vendor_that_calls_no_tools_is_sent_none():
    assert "tools" not in body(ask(tools=(TOOL,), tool_choice=ToolChoice(ToolMode.AUTO)), Quirks(tools=False))


def test_a_vendor_without_schemas_is_sent_no_format():
    assert generation(Quirks(json_schema=False), response_format=JsonSchemaFormat("n", "{}")) == {}


def test_assistant_without_thinking_has_nothing_to_replay():
    said = Message(Role.ASSISTANT, (TextPart(text="4"),))
    assert messages(said, quirks=Quirks(reasoning_replay="reasoning")) == [{"role": "assistant", "content": "4"}]
