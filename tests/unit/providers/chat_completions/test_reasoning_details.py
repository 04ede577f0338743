"""OpenRouter's reasoning_details: kept as a continuity token, and back in the next request as they were."""

import json

import pytest

from llmproxy_grpc.messages import Message, ReasoningPart, Role, TextPart, ToolCallPart, ToolResultPart
from llmproxy_grpc.providers.chat_completions.expectation import Expectation
from llmproxy_grpc.providers.chat_completions.history import History
from llmproxy_grpc.providers.chat_completions.reasoning_details import ReasoningDetails, details_of, details_token
from llmproxy_grpc.providers.chat_completions.response import ResponseReader
from llmproxy_grpc.providers.chat_completions.shapes import decode_answer
from llmproxy_grpc.providers.extent import Extent
from llmproxy_grpc.providers.presets import PRESETS
from tests.unit.providers.chat_completions.chunks import delta, fragment, parts

TEXT = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
SUMMARY = {"type": "reasoning.summary", "format": "openai-responses-v1", "index": 0}
SECRET = {"type": "reasoning.encrypted", "data": "gAAA==", "id": "rs_1", "format": "openai-responses-v1", "index": 1}


def together(*chunks):
    details = ReasoningDetails(Extent())
    for chunk in chunks:
        details.take(chunk)
    return details_of(details.token())


def test_pieces_of_one_entry_become_one_with_its_signature():
    pieces = [{**TEXT, "text": "Let "}], [{**TEXT, "text": "me."}], [{**TEXT, "signature": "sig", "text": None}]
    assert together(*pieces) == [{**TEXT, "text": "Let me.", "signature": "sig"}]


def test_entries_stay_apart_by_kind_and_number_in_their_order():
    chunks = (
        [{**SUMMARY, "summary": "**Look"}],
        [{**SUMMARY, "summary": "ing**"}, SECRET],
        [{**SUMMARY, "index": 2, "summary": "More"}],
        [{**SECRET, "index": 3}],
    )
    assert together(*chunks) == [
        {**SUMMARY, "summary": "**Looking**"},
        SECRET,
        {**SUMMARY, "index": 2, "summary": "More"},
        {**SECRET, "index": 3},
    ]


def test_entries_that_nobody_numbers_continue_by_their_kind():
    assert together([{"type": "reasoning.text", "text": "a"}], [{"type": "reasoning.text", "text": "b"}]) == [
        {"type": "reasoning.text", "text": "ab"}
    ]


def test_encrypted_entries_are_never_run_together():
    assert together([SECRET], [SECRET]) == [SECRET, SECRET]


@pytest.mark.parametrize("junk", [None, 7, "x", {}, [None, 7, "x", []], [{}], [{"type": 7, "index": [1], "text": "x"}]])
def test_what_makes_no_sense_breaks_nothing(junk):
    assert isinstance(together(junk), list)


def test_half_a_character_finds_its_other_half():
    assert together([{**TEXT, "text": "\ud83d"}], [{**TEXT, "text": "\ude00"}]) == [{**TEXT, "text": "😀"}]


def test_a_token_of_something_else_holds_none():
    assert details_of(b"") == details_of(b"custom") == details_of(b'{"id":"x"}') == details_of(b"[1]") == []
    assert details_token([]) == details_token(None) == details_token({"a": 1}) == b""


STREAM = (
    delta(reasoning="Let ", reasoning_details=[{**TEXT, "text": "Let "}]),
    delta(reasoning="me.", reasoning_details=[{**TEXT, "text": "me."}]),
    delta(reasoning_details=[{**TEXT, "signature": "sig"}]),
    fragment('{"a":1}', id="c1", name="look", index=0),
)
WHOLE = [{**TEXT, "text": "Let me.", "signature": "sig"}]


def read(show=True, **message):
    answer = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    reader = ResponseReader(Expectation(model="m", show_thinking=show), new_id=lambda: "new")
    return reader.read(decode_answer(json.dumps(answer).encode()), request_id="r").candidates[0].message.parts


CALLS = [{"id": "c1", "function": {"name": "look", "arguments": '{"a":1}'}}]


def test_a_stream_and_a_whole_answer_keep_them_on_the_thinking_that_is_shown():
    thought, call = parts(*STREAM)
    assert (thought.text, details_of(thought.continuity_token)) == ("Let me.", WHOLE)
    assert call == ToolCallPart(id="c1", name="look", arguments_json='{"a":1}')
    assert read(reasoning="Let me.", reasoning_details=WHOLE, tool_calls=CALLS) == (thought, call)


@pytest.mark.parametrize("show", [True, False])
def test_hidden_thinking_is_a_part_of_its_own(show):
    chunks = delta(content="Hi"), delta(reasoning_details=[SECRET])
    text, hidden = parts(*chunks, show_thinking=show)
    assert text == TextPart(text="Hi")
    assert (hidden.text, hidden.redacted, details_of(hidden.continuity_token)) == ("", True, [SECRET])
    assert read(show, content="Hi", reasoning_details=[SECRET]) == (text, hidden)


def test_thinking_that_nobody_wants_to_see_comes_back_all_the_same():
    call, hidden = parts(*STREAM, show_thinking=False)
    assert isinstance(call, ToolCallPart)
    assert (hidden.redacted, details_of(hidden.continuity_token)) == (True, WHOLE)


def test_a_tool_loop_sends_them_back_as_they_were():
    said = Message(Role.ASSISTANT, parts(*STREAM))
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="c1", content=(TextPart(text="42"),)),))
    history = History(PRESETS["openrouter"].quirks).encode((Message(Role.USER, (TextPart(text="?"),)), said, result))
    assert history[1]["reasoning_details"] == WHOLE
    assert "reasoning" not in history[1]
    assert history[1]["tool_calls"][0]["id"] == "c1"


def test_thinking_without_them_goes_back_as_text():
    said = Message(Role.ASSISTANT, (ReasoningPart(text="Hm."), TextPart(text="Hi")))
    (sent,) = History(PRESETS["openrouter"].quirks).encode((said,))
    assert sent["reasoning"] == "Hm."
    assert "reasoning_details" not in sent
