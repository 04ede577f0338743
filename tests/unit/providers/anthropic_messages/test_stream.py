"""Streams that no documentation shows: what is not announced, out of order, or of a kind that nobody knows."""

import json
from typing import Any

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError, UpstreamStreamBroken
from llmproxy_grpc.messages import (
    Citation,
    FinishReason,
    OpaquePart,
    ProviderResponse,
    ReasoningConfig,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    UpstreamStart,
)
from llmproxy_grpc.messages.request import GenerationConfig
from llmproxy_grpc.providers import extent
from llmproxy_grpc.providers.anthropic_messages.stream import EventDecoder
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.sse import ServerSentEvent
from llmproxy_grpc.providers.thinking_tokens import hidden_token, signature_token
from tests.providers.conversations import ask, assembled


def failed(data: bytes) -> UpstreamProtocolError:
    return UpstreamProtocolError(data.decode())


def decoded(*events: Any, show: bool | None = None) -> ProviderResponse:
    request = ask(generation=GenerationConfig(reasoning=ReasoningConfig(include=show)))
    decoder = EventDecoder(Reply(request, "m", "", failed, lambda: "call_made"))
    for event in events:
        decoder.read(ServerSentEvent("", event if isinstance(event, bytes) else json.dumps(event).encode()))
    decoder.end()
    return assembled([UpstreamStart(""), *decoder.take()])


def parts(*events: Any, show: bool | None = None) -> list[Any]:
    return list(decoded(*events, END, show=show).candidates[0].message.parts)


def begin(index: int | None, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def more(index: int, kind: str, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", **delta}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f"}


def test_a_text_and_a_thinking_that_nobody_announced_are_read():
    events = more(0, "thinking", thinking="Hm."), more(0, "signature", signature="s"), more(1, "text", text="Yes.")
    assert parts(*events) == [ReasoningPart(text="Hm.", continuity_token=signature_token("s")), TextPart(text="Yes.")]


@pytest.mark.parametrize("show", [True, False])
def test_a_signature_may_come_with_the_beginning_and_one_that_comes_later_takes_its_place(show):
    begun = begin(0, type="thinking", thinking="Hm.", signature="early")
    for events, signature in (((begun,), "early"), ((begun, more(0, "signature", signature="late")), "late")):
        shown = ReasoningPart(text="Hm.", continuity_token=signature_token(signature))
        hidden = ReasoningPart(redacted=True, continuity_token=hidden_token("Hm.", signature))
        assert parts(*events, stop(0), show=show) == [shown if show else hidden]


def test_input_of_no_call_is_no_stream():
    with pytest.raises(UpstreamProtocolError):
        parts(more(0, "input_json", partial_json="{}"))


@pytest.mark.parametrize("event", [{"type": "content_block_start", "index": 0}, begin(0, text="x"), begin(0, type="")])
def test_a_block_of_no_type_is_no_stream(event):
    with pytest.raises(UpstreamProtocolError):
        parts(event)


def test_blocks_without_their_ends_end_with_the_message():
    events = begin(0, type="text", text="A"), begin(1, **CALL, input={}), begin(2, type="server", x=1)
    assert parts(*events) == [
        TextPart(text="A"),
        ToolCallPart(id="toolu_1", name="f", arguments_json="{}"),
        OpaquePart(provider_kind="anthropic", type="server", value={"x": 1}),
    ]


def test_a_block_with_the_number_of_another_ends_it():
    events = begin(0, type="text", text="A"), begin(0, type="text", text="B"), stop(0), stop(0), stop(7)
    assert parts(*events) == [TextPart(text="A"), TextPart(text="B")]


def test_texts_that_come_side_by_side_are_not_mixed():
    events = (
        begin(0, type="text", text="A"),
        begin(1, type="text", text="B"),
        more(0, "text", text="a"),
        stop(0),
        stop(1),
    )
    assert [part.text for part in parts(*events)] == ["A", "B", "a"]


def test_input_that_came_whole_keeps_its_digits():
    start = (
        b'{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":%b}}'
    )
    text = b'{"n": 9007199254740993,  "x": 1.0, "long": 0.1234567890123456789012345}'
    assert parts(start % text)[0].arguments_json == text.decode()
    assert parts(start % b"null")[0].arguments_json == "{}"
    mended = parts(start % rb'{"lone": "\ud83e", "n": 9007199254740993}')[0].arguments_json
    assert json.loads(mended) == {"lone": "\ufffd", "n": 9007199254740993}


def test_fragments_win_over_what_a_block_began_with():
    events = begin(0, **CALL, input={"a": 1}), more(0, "input_json", partial_json='{"b":2}'), more(0, "text", text="?")
    assert parts(*events)[0].arguments_json == '{"b":2}'


def test_a_call_without_an_id_gets_one():
    assert parts(begin(0, type="tool_use", name="f"))[0].id == "call_made"


def test_deltas_of_unknown_kinds_change_nothing_that_is_known():
    events = (
        begin(0, type="text", text="A", citations=None),
        more(0, "new", text="?", citation={"url": "x"}),
        more(0, "citations", citation="none"),
        stop(0),
        begin(1, type="redacted_thinking", data="d"),
        more(1, "new", data="?"),
        stop(1),
        begin(2, type="thinking", thinking=""),
        more(2, "new", thinking="?"),
        stop(2),
        {"type": "content_block_delta", "index": 0},
        {"type": "new_event", "usage": None},
    )
    text, redacted, thought = parts(*events)
    assert text == TextPart(text="A")
    assert redacted.redacted
    assert thought.continuity_token == hidden_token("", "")


def test_thinking_whose_characters_come_in_halves_is_kept_whole_though_hidden():
    events = begin(0, type="thinking", thinking="a\ud83e"), more(0, "thinking", thinking="\udd9cb\ud83e"), stop(0)
    (part,) = parts(*events, show=False)
    assert (part.text, part.redacted) == ("", True)
    assert part.continuity_token == hidden_token("a🦜b\ufffd", "")


def test_sources_without_a_text_are_nobodys():
    events = begin(0, **CALL, input={}), stop(0), begin(1, type="text", text="", citations=[{"url": "x"}]), stop(1)
    assert [type(part) for part in parts(*events)] == [ToolCallPart]


def test_sources_count_the_characters_of_the_whole_text():
    source = {"url": "https://example.test", "cited_text": "q", "encrypted_index": "E"}
    events = begin(0, type="text", text="a\ud83e", citations=[source]), more(0, "text", text="\udd9c"), stop(0)
    (part,) = parts(*events)
    assert (part.text, part.citations[0].start_offset, part.citations[0].end_offset) == ("a🦜", 0, 2)
    assert part.continuity_token


@pytest.mark.parametrize(
    ("events", "error"), [([], UpstreamProtocolError), ([more(0, "text", text="x")], UpstreamStreamBroken)]
)
def test_a_message_that_does_not_say_why_it_ended_is_not_complete(events, error):
    with pytest.raises(error):
        decoded(*events)


def test_an_error_may_come_within_any_event():
    for event in ({"type": "error", "error": {"type": "api_error"}}, {"type": "ping", "error": "x"}, {"error": {}}):
        with pytest.raises(UpstreamProtocolError, match="error"):
            decoded(event)


def test_what_the_end_says_may_come_in_several_events():
    first = {"type": "message_delta", "delta": {"container": {"id": "c1"}, "stop_reason": None}}
    reason = {"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}}
    counts = {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 3, "output_tokens": 4}}
    answer = decoded(begin(0, type="text", text="x"), first, {**reason, "context_management": {"n": 1}}, counts)
    (candidate,) = answer.candidates
    assert (candidate.finish_reason, candidate.matched_stop_sequence) == (FinishReason.STOP_SEQUENCE, "END")
    assert answer.provider_metadata == {"container": {"id": "c1"}, "context_management": {"n": 1}}
    assert answer.usage.total_tokens == 7


def test_a_source_stands_behind_the_whole_text_whose_characters_may_come_in_halves():
    source = {"type": "web_search_result_location", "url": "https://a.test"}
    halves = more(0, "text", text="c\ud83d"), more(0, "text", text="\ude00"), more(0, "text", text="\ud83d")
    (said,) = parts(begin(0, type="text", text="ab"), *halves, more(0, "citations", citation=source), stop(0))
    assert said.text == "abc\U0001f600\ufffd"
    assert said.citations == (Citation("https://a.test", "", 0, 5, ""),)


def test_sources_of_a_text_that_does_not_end_are_bounded(monkeypatch):
    monkeypatch.setattr(extent, "MOST_HELD", 10_000)
    sources = [more(0, "citations", citation={"cited_text": "x" * 100})] * 100
    with pytest.raises(UpstreamProtocolError):
        parts(begin(0, type="text", text="A"), *sources)
    long = [more(0, "text", text="x" * 1000)] * 100
    assert parts(begin(0, type="text", text=""), *long, stop(0)) == [TextPart(text="x" * 100_000)]
