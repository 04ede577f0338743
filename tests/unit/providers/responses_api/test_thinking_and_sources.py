"""Thinking with its tokens, sources, and what the API does not model."""

import json
from typing import Any

import pytest

from llmproxy_grpc.messages import Citation, OpaquePart, ReasoningPart, RefusalPart, TextPart
from llmproxy_grpc.providers.sse import ServerSentEvent
from tests.unit.providers.responses_api.events import CALL, added, done, event, message, parts, text, whole

THINKING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Second."}],
    "encrypted_content": "gA",
    "status": None,
}
TOKEN = (
    b'{"id":"rs_1","summary":[{"type":"summary_text","text":"First."},{"type":"summary_text","text":"Second."}],'
    b'"encrypted_content":"gA"}'
)


def summary(delta: str, part: int | None) -> ServerSentEvent:
    return event("response.reasoning_summary_text.delta", delta=delta, summary_index=part, output_index=0)


def test_a_summary_of_the_thinking_comes_in_paragraphs_with_its_token():
    expected = (ReasoningPart(text="First.\n\nSecond.", summary=True, continuity_token=TOKEN), TextPart(text="x"))
    begun = added({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "half"}, output_index=0)
    streamed = (begun, summary("Fir", 0), summary("st.", 0), summary("Second.", 1), done(THINKING, output_index=0))
    assert parts(*streamed, text("x", output_index=1)) == expected
    assert whole(THINKING, message("x")) == expected


def test_thinking_that_is_not_wanted_leaves_its_token():
    hidden = ReasoningPart(redacted=True, continuity_token=TOKEN)
    begun = added({"type": "reasoning", "id": "rs_1", "summary": []}, output_index=0)
    assert parts(begun, summary("First.", 0), done(THINKING, output_index=0), include=False) == (hidden,)
    assert whole(THINKING, include=False) == (hidden,)


def test_thinking_of_open_models_is_shown_and_kept_as_it_is():
    item = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    token = b'{"summary":[],"content":[{"type":"reasoning_text","text":"Hm."}]}'
    expected = (ReasoningPart(text="Hm.", continuity_token=token),)
    assert parts(event("response.reasoning_text.delta", delta="Hm."), done(item)) == expected
    assert whole(item) == expected


def test_thinking_that_comes_in_two_forms_is_shown_once():
    raw = event("response.reasoning_text.delta", delta="Hm.", output_index=0)
    item = {**THINKING, "content": [{"type": "reasoning_text", "text": "Hm."}]}
    (part,) = parts(added(THINKING, output_index=0), raw, summary("First.", 0), done(item, output_index=0))
    assert (part.text, part.summary) == ("Hm.", False)
    assert whole(item)[0].text == "Hm."


def test_thinking_that_nobody_could_read_again_has_no_token():
    unread = {"type": "reasoning", "id": "rs_1", "summary": [{"text": "Hm."}], "encrypted_content": ""}
    assert whole(unread) == (ReasoningPart(text="Hm.", summary=True),)
    assert whole(unread, include=False) == ()


def test_half_characters_in_thinking_do_no_harm():
    item = {**THINKING, "summary": [{"text": "a\ud83e"}]}
    assert "\ufffd" in json.loads(whole(item)[0].continuity_token)["summary"][0]["text"]


def test_the_phase_of_a_text_is_kept():
    said = message("x", phase="commentary", id="m")
    expected = (TextPart(text="x", continuity_token=b'{"phase":"commentary"}'),)
    assert parts(added(message(id="m")), text("x", item_id="m"), done(said)) == expected
    assert whole(said) == expected


def test_the_phase_is_that_of_all_that_a_message_says_and_makes_up_no_text():
    content = [{"type": "output_text", "text": "x"}, {"type": "refusal", "refusal": "No."}]
    said, token = {"type": "message", "phase": "commentary", "content": content}, b'{"phase":"commentary"}'
    expected = (TextPart(text="x", continuity_token=token), RefusalPart(text="No.", continuity_token=token))
    refused = event("response.refusal.delta", delta="No.", content_index=1)
    assert parts(added({"type": "message"}), text("x", content_index=0), refused, done(said)) == expected
    assert whole(said) == expected


URL = {"type": "url_citation", "url": "https://example.test/a", "title": "A", "start_index": 0, "end_index": 1}
FILE = {"type": "file_citation", "file_id": "file_1", "filename": "a.pdf", "index": 1}
BOX = {
    "type": "container_file_citation",
    "container_id": "c",
    "file_id": "file_2",
    "filename": "b.csv",
    "start_index": 0,
    "end_index": 1,
}
SOURCES = (
    Citation(uri="https://example.test/a", title="A", start_offset=0, end_offset=1),
    Citation(uri="file_1", title="a.pdf", start_offset=1, end_offset=1),
    Citation(uri="file_2", title="b.csv", start_offset=0, end_offset=1),
)


def cited(*annotations: Any) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": "x", "annotations": annotations}]}


def test_sources_of_every_kind_are_citations():
    expected = (TextPart(text="x", citations=SOURCES),)
    annotations = [URL, FILE, BOX, {"type": "file_path", "file_id": "f"}, None, {"type": "new"}]
    assert whole(cited(*annotations)) == expected
    named = [event("response.output_text.annotation.added", annotation=each) for each in annotations]
    assert parts(text("x"), *named, done(cited(*annotations))) == expected


def test_sources_that_are_named_at_the_end_alone_are_not_lost():
    assert parts(text("x"), done(cited(URL))) == (TextPart(text="x", citations=SOURCES[:1]),)


def test_the_sources_of_several_texts_stand_each_on_its_own_whenever_they_are_named():
    content = [{"type": "output_text", "text": each, "annotations": [URL]} for each in "ab"]
    expected = tuple(TextPart(text=each, citations=SOURCES[:1]) for each in "ab")
    texts = [text(each, content_index=index) for index, each in enumerate("ab")]
    late = [event("response.output_text.annotation.added", annotation=URL, content_index=index) for index in (0, 1)]
    said = {"type": "message", "content": content}
    assert whole(said) == parts(*texts, done(said)) == parts(*texts, *late, done(said)) == expected
    nothing, call = text("", content_index=0), done({**CALL, "arguments": "{}"}, output_index=0)
    assert parts(call, nothing, texts[1], late[0])[1:] == expected[1:], "the call before has none"


def test_what_the_api_does_not_model_stays_as_it_is():
    value = {"id": "ws_1", "status": "completed", "action": {"query": "x"}}
    item = {"type": "web_search_call", **value}
    expected = (OpaquePart(provider_kind="openai", type="web_search_call", value=value),)
    searching = event("response.web_search_call.searching", item_id="ws_1", output_index=0)
    assert parts(added({**item, "status": "in_progress"}, output_index=0), searching, done(item, output_index=0)) == (
        expected
    )
    assert whole(item) == expected


def test_a_message_without_a_type_is_a_message_and_other_things_are_not_lost():
    assert whole({"content": [{"type": "output_text", "text": "x"}]}, {"a": 1}, "odd") == (
        TextPart(text="x"),
        OpaquePart(provider_kind="openai", type="unknown", value={"a": 1}),
    )


@pytest.mark.parametrize("delta", [None, 7, {"text": "x"}, ["x"], ""])
def test_an_odd_delta_says_nothing(delta):
    assert parts(text(delta), text("a")) == (TextPart(text="a"),)


def test_odd_items_and_unknown_events_are_ignored():
    odd = [added(None), done(None), added("x"), event("response.new.thing", delta={"a": 1}, item=[1]), event("ping")]
    assert parts(*odd, text("a"), *odd) == (TextPart(text="a"),)


def test_the_events_name_will_do_where_the_data_have_no_type():
    named = ServerSentEvent("response.output_text.delta", b'{"delta":"a"}')
    assert parts(named) == (TextPart(text="a"),)


def test_a_source_that_comes_before_its_text_waits_for_it():
    named = event("response.output_text.annotation.added", annotation=URL, content_index=0)
    expected = whole(cited(URL))
    assert parts(named, done(cited(URL))) == expected  # no text comes but at the end, which tells the source again
    assert parts(text("x", content_index=0), named, done(cited(URL))) == expected
    assert parts(named, text("x", content_index=0), done(cited())) == expected
    assert parts(named, text("x", content_index=0), named, done(cited(URL, URL))) == whole(cited(URL, URL))
