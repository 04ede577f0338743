import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import (
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.chat_completions.history import CUSTOM_CALL
from llmproxy_grpc.providers.chat_completions.quirks import COMPATIBLE, OPENAI, Quirks
from tests.providers.conversations import ask
from tests.unit.providers.chat_completions.encoding import body, messages, user


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


@pytest.mark.parametrize(("quirks", "most"), [(OPENAI, 40), (Quirks(max_call_id=64), 64)])
def test_ids_that_the_vendor_finds_too_long_get_shorter_ones_the_same_in_calls_and_results(quirks, most):
    ids = ("a" * most, "b" * (most + 1), "b" * most + "c", "ünd 1")
    calls = tuple(ToolCallPart(id=each, name="f", arguments_json="{}") for each in ids)
    results = tuple(ToolResultPart(tool_call_id=each) for each in reversed(ids))
    said, *heard = messages(Message(Role.ASSISTANT, calls), Message(Role.TOOL, results), quirks=quirks)
    called = [call["id"] for call in said["tool_calls"]]
    assert [result["tool_call_id"] for result in heard] == called[::-1]
    assert (called[0], called[3], len(set(called))) == (ids[0], ids[3], 4)
    assert all(len(each) <= most for each in called)


def test_ids_stay_as_they_are_where_any_length_will_do():
    call = ToolCallPart(id="x" * 500, name="f", arguments_json="{}")
    (said,) = messages(Message(Role.ASSISTANT, (call,)), quirks=COMPATIBLE)
    assert said["tool_calls"][0]["id"] == call.id


def test_a_refusal_goes_back_as_one():
    (said,) = messages(Message(Role.ASSISTANT, (RefusalPart(text="No."),)))
    assert said == {"role": "assistant", "content": None, "refusal": "No."}


def test_thinking_goes_back_only_where_the_vendor_takes_it():
    said = Message(Role.ASSISTANT, (ReasoningPart(text="hm"), TextPart(text="4")))
    assert messages(said) == [{"role": "assistant", "content": "4"}]
    replayed = messages(said, quirks=Quirks(reasoning_replay="reasoning_content"))
    assert replayed == [{"role": "assistant", "content": "4", "reasoning_content": "hm"}]


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


def test_assistant_without_thinking_has_nothing_to_replay():
    said = Message(Role.ASSISTANT, (TextPart(text="4"),))
    assert messages(said, quirks=Quirks(reasoning_replay="reasoning")) == [{"role": "assistant", "content": "4"}]


def test_a_refusal_is_a_text_where_it_has_no_field():
    said = Message(Role.ASSISTANT, (TextPart(text="Well: "), RefusalPart(text="no.")))
    assert messages(said, quirks=COMPATIBLE) == [{"role": "assistant", "content": "Well: no."}]


@pytest.mark.parametrize("parts", [(), (ReasoningPart(text="hm"),)])
def test_an_assistant_that_said_nothing_says_an_empty_text(parts):
    assert messages(Message(Role.ASSISTANT, parts)) == [{"role": "assistant", "content": ""}]
