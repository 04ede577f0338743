"""What the model said before, on the wire of the Responses API: thinking, texts, calls and their results."""

import pytest
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    Message,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.chat_completions.quirks import OPENAI_RESPONSES
from tests.unit.providers.responses_api.test_request import items, said, token


def test_thinking_may_lead_to_what_the_models_next_message_says():
    thinking = ReasoningPart(text="", continuity_token=token(id="rs_1", encrypted_content="gAAA"))
    call = ToolCallPart(id="c1", name="f", arguments_json="{}")
    apart = items(Message(Role.ASSISTANT, (thinking,)), Message(Role.ASSISTANT, (call,)))
    assert apart == said(thinking, call)
    assert [item["type"] for item in apart] == ["reasoning", "function_call"]
    cut = items(Message(Role.ASSISTANT, (thinking,)), Message(Role.USER, (TextPart(text="Go on."),)))
    assert cut == [{"type": "message", "role": "user", "content": "Go on."}]


def test_neighbouring_texts_are_one_message_and_phases_come_back():
    comment, answer = token(phase="commentary"), token(phase="final_answer")
    assert said(
        TextPart(text="a", continuity_token=comment),
        TextPart(text="b", continuity_token=comment),
        TextPart(text="c", continuity_token=answer),
        TextPart(text=""),
    ) == [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}],
            "phase": "commentary",
        },
        {"type": "message", "role": "assistant", "content": "c", "phase": "final_answer"},
    ]


def test_thinking_that_led_to_nothing_stays_away():
    thinking = ReasoningPart(continuity_token=token(id="rs_1", summary=[], encrypted_content="g"), redacted=True)
    assert said(thinking) == []
    assert [item["type"] for item in said(thinking, TextPart(text="x"), thinking)] == ["reasoning", "message"]


def test_thinking_of_open_models_comes_back_as_it_is():
    content = [{"type": "reasoning_text", "text": "Hm."}]
    thinking = ReasoningPart(text="Hm.", continuity_token=token(id="rs_1", summary=[], content=content))
    assert said(thinking, TextPart(text="x"))[0] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": content,
    }


@pytest.mark.parametrize("other", [b"", b"custom", b"\xff{", b"[1]", b'{"id":"rs_1"}'])
def test_tokens_of_another_api_are_no_tokens(other):
    assert said(
        ReasoningPart(text="Hm.", continuity_token=other),
        TextPart(text="x", continuity_token=other if b"id" not in other else b""),
        ToolCallPart(id="c", name="f", arguments_json="{}", continuity_token=other if b"id" not in other else b""),
    ) == [
        {"type": "message", "role": "assistant", "content": "x"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ]


def test_a_call_keeps_whose_tool_it_is_and_its_result_who_called():
    caller = {"type": "program", "caller_id": "p1"}
    call = ToolCallPart(id="c", name="f", arguments_json="{}", continuity_token=token(namespace="crm", caller=caller))
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="c", content=(TextPart(text="1"),)),))
    assert items(Message(Role.ASSISTANT, (call,)), result) == [
        {
            "type": "function_call",
            "namespace": "crm",
            "caller": caller,
            "call_id": "c",
            "name": "f",
            "arguments": "{}",
        },
        {"type": "function_call_output", "call_id": "c", "output": "1", "caller": caller},
    ]


def test_ids_of_calls_are_short_where_the_server_wants_them():
    call, result = ToolCallPart(id="call_1", name="f", arguments_json="{}"), ToolResultPart(tool_call_id="call_1")
    turns = (Message(Role.ASSISTANT, (call,)), Message(Role.TOOL, (result,)))
    called, answered = items(*turns, quirks=replace(OPENAI_RESPONSES, short_call_ids=True))
    assert called["call_id"] == answered["call_id"]
    assert len(called["call_id"]) == 9
    assert [item["call_id"] for item in items(*turns)] == ["call_1", "call_1"]


def test_longer_ids_than_the_api_takes_get_shorter_ones():
    call, result = ToolCallPart(id="c" * 65, name="f", arguments_json="{}"), ToolResultPart(tool_call_id="c" * 65)
    called, answered = items(Message(Role.ASSISTANT, (call,)), Message(Role.TOOL, (result,)))
    assert called["call_id"] == answered["call_id"]
    assert len(called["call_id"]) <= 64
    (kept,) = items(Message(Role.ASSISTANT, (replace(call, id="c" * 64),)))
    assert kept["call_id"] == "c" * 64
