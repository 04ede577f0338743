"""A conversation as the API wants it: who speaks when, and by which ids calls and results belong together."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import (
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.anthropic_messages.extra_fields import call_token, citations_token
from llmproxy_grpc.providers.anthropic_messages.features import adapt_messages
from llmproxy_grpc.providers.anthropic_messages.request import encode_request
from llmproxy_grpc.providers.call_ids import CLAUDE, CallIds
from tests.providers.conversations import ask

OLD, LATER = "claude-haiku-4-5", "claude-opus-5"


def body(*messages: Message, model: str = OLD) -> dict[str, Any]:
    request = adapt_messages(ask(messages=messages), model).request
    return json.loads(encode_request(request, model, stream=False))


def said(role: Role, *texts: str) -> Message:
    return Message(role, tuple(TextPart(text=text) for text in texts))


def spoken(*messages: Message, model: str) -> tuple[list[str], list[str]]:
    """The texts of `system`, and the turns as a letter for the role and the texts."""
    sent = body(*messages, model=model)
    turns = [
        f"{turn['role'][0]}:{''.join(block.get('text', '-') for block in turn['content'])}" for turn in sent["messages"]
    ]
    return [block["text"] for block in sent.get("system", [])], turns


PAUSED = OpaquePart(provider_kind="anthropic", type="server_tool_use", value={})
S, D, U, A = Role.SYSTEM, Role.DEVELOPER, Role.USER, Role.ASSISTANT


@pytest.mark.parametrize(
    ("messages", "system", "turns"),
    [
        ([said(S, "1"), said(D, "2"), said(U, "x")], ["1", "2"], ["u:x"]),
        # Behind a turn of the user they stay where they are.
        ([said(S, "1"), said(U, "x"), said(S, "2")], ["1"], ["u:x", "s:2"]),
        ([said(U, "x"), said(S, "1"), said(A, "y"), said(U, "z")], [], ["u:x", "s:1", "a:y", "u:z"]),
        # Before one, they move behind it.
        ([said(U, "x"), said(A, "y"), said(S, "1"), said(D, "2"), said(U, "z")], [], ["u:x", "a:y", "u:z", "s:12"]),
        ([said(U, "x"), said(S, "1"), said(U, "y"), said(A, "z"), said(U, "!")], [], ["u:xy", "s:1", "a:z", "u:!"]),
        # Nowhere else may they stand.
        ([said(U, "x"), said(A, "y"), Message(A, (PAUSED,)), said(S, "1")], ["1"], ["u:x", "a:y-"]),
        ([said(U, "x"), said(A, "y"), said(S, "1"), said(A, "z"), said(U, "!")], ["1"], ["u:x", "a:yz", "u:!"]),
        ([said(U, "x"), said(S, " ")], [], ["u:x"]),
    ],
)
def test_later_instructions_stay_in_the_conversation_where_the_model_takes_them(messages, system, turns):
    assert spoken(*messages, model=LATER) == (system, turns)


def test_older_models_have_all_their_instructions_first():
    messages = said(S, "1"), said(U, "x"), said(S, "2"), said(A, "y"), said(U, "z"), said(D, "3")
    assert spoken(*messages, model=OLD) == (["1", "2", "3"], ["u:x", "a:y", "u:z"])


def test_pictures_in_instructions_are_named():
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    document = MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/pdf")
    messages = Message(S, (TextPart(text="Like this:"), picture, document)), Message(U, (picture,))
    adapted = adapt_messages(ask(messages=messages), OLD)
    assert [found.field for found in adapted.unsupported] == [
        "messages[0].parts[1].image",
        "messages[0].parts[2].document",
    ]
    assert [len(message.parts) for message in adapted.request.messages] == [1, 1]


def call(call_id: str) -> Message:
    return Message(A, (ToolCallPart(id=call_id, name="f", arguments_json="{}"),))


def result(call_id: str, *content: Any, is_error: bool = False) -> Message:
    return Message(Role.TOOL, (ToolResultPart(tool_call_id=call_id, content=content, is_error=is_error),))


def test_results_stand_first_in_their_turn_whatever_the_user_said_before_them():
    two = Message(A, (*call("a").parts, *call("b").parts))
    turns = body(said(U, "x"), two, said(U, "Wait"), result("b"), said(U, "!"), result("a"))["messages"]
    assert [block.get("tool_use_id") or block["text"] for block in turns[2]["content"]] == ["b", "a", "Wait", "!"]


def test_a_failed_tool_says_something():
    turns = body(said(U, "x"), call("a"), result("a", TextPart(text=" "), is_error=True))["messages"]
    assert turns[2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": [{"type": "text", "text": "The tool failed."}],
            "is_error": True,
        }
    ]


def test_ids_of_other_providers_become_ids_that_this_one_takes():
    messages = said(U, "x"), call("functions.f:0"), result("functions.f:0"), call("toolu_1"), result("toolu_1")
    turns = body(*messages)["messages"]
    ids = [turn["content"][0].get("id") or turn["content"][0].get("tool_use_id") for turn in turns[1:]]
    assert ids == [ids[0], ids[0], "toolu_1", "toolu_1"]
    assert ids[0].startswith("call_")
    assert ids[0].replace("_", "").isalnum()


def test_an_id_that_comes_again_gets_another_name():
    messages = [said(U, "x")]
    for _ in range(3):
        messages += [call("call_0"), result("call_0")]
    turns = body(*messages)["messages"]
    calls = [turn["content"][0]["id"] for turn in turns[1::2]]
    assert len(set(calls)) == 3
    assert calls[0] == "call_0"
    assert [turn["content"][0]["tool_use_id"] for turn in turns[2::2]] == calls
    assert body(*messages[:-2])["messages"] == turns[:-2], "what was sent before stays as it was"


@given(st.lists(st.text("ab:._ é😀", max_size=4), max_size=12))
def test_ids_are_unique_and_readable_for_any_history(names):
    ids = CallIds(CLAUDE)
    given_ids = []
    for name in names:
        given_ids.append(ids.of_call(name))
        assert ids.of_result(name) == given_ids[-1]
    assert len(set(given_ids)) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]+", each) for each in given_ids)


def test_tools_that_were_called_before_are_declared_though_none_may_be_called_now():
    messages = said(U, "x"), call("a"), result("a"), call("b"), result("b")
    sent = body(*messages)
    assert sent["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert sent["tool_choice"] == {"type": "none"}
    assert "tools" not in body(*messages, model="qwen3"), "other servers may write them into their prompts"


def test_what_a_call_or_a_text_had_besides_comes_back_with_it():
    caller = {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"}
    citations = [{"type": "web_search_result_location", "encrypted_index": "Eo8B", "n": 1.5}, {"type": "page_location"}]
    parts = (
        TextPart(text="So.", continuity_token=citations_token(citations)),
        ToolCallPart(
            id="a", name="f", arguments_json="{}", continuity_token=call_token(caller=caller, toolset="browser")
        ),
        TextPart(text="?", continuity_token=b"f:no json"),
        TextPart(text="?", continuity_token=b"of another kind"),
    )
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="a"),))
    assert body(said(U, "x"), Message(A, parts), result)["messages"][1]["content"] == [
        {"type": "text", "text": "So.", "citations": citations},
        {"type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": caller, "toolset_name": "browser"},
        {"type": "text", "text": "?"},
        {"type": "text", "text": "?"},
    ]


def test_sources_that_need_not_come_back_make_no_token():
    assert citations_token([{"type": "page_location"}]) == b""
    assert citations_token([{"encrypted_index": "x", "title": "half \ud83d"}]) == b""
    assert call_token(caller={"type": "direct"}, toolset=None) == b""


THOUGHT = Message(Role.ASSISTANT, (ReasoningPart(text="Hm.", continuity_token=b"s:sig"),))
HIDDEN = Message(Role.ASSISTANT, (ReasoningPart(redacted=True, continuity_token=b"r:data"),))
ASKED, SAID, LATER_ON = (
    Message(role, (TextPart(text=role.name),)) for role in (Role.USER, Role.ASSISTANT, Role.SYSTEM)
)


@pytest.mark.parametrize(
    ("messages", "kinds"),
    [
        ((ASKED, THOUGHT, HIDDEN, ASKED), [["text", "text"]]),
        ((ASKED, THOUGHT, SAID, HIDDEN, ASKED), [["text"], ["thinking", "text"], ["text"]]),
        ((ASKED, THOUGHT, SAID, ASKED), [["text"], ["thinking", "text"], ["text"]]),
        ((ASKED, THOUGHT), [["text"]]),
        ((THOUGHT, LATER_ON), [["text"]]),
        ((THOUGHT, LATER_ON, ASKED), [["text"]]),
    ],
)
def test_thinking_that_led_to_nothing_stays_away(messages, kinds):
    turns = body(*messages, model=LATER)["messages"]
    assert [[block["type"] for block in turn["content"]] for turn in turns] == kinds
