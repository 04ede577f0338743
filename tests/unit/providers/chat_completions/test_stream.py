import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.errors import (
    ContextLengthExceeded,
    ProxyError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamStreamBroken,
)
from llmproxy_grpc.messages import (
    CandidateFinish,
    Citation,
    FinishReason,
    ProviderResponse,
    ReasoningDelta,
    ReasoningPart,
    RefusalPart,
    StreamEvent,
    TextDelta,
    TextPart,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
    UpstreamEnd,
    Usage,
)
from llmproxy_grpc.providers.chat_completions.history import CUSTOM_CALL
from llmproxy_grpc.providers.chat_completions.response import ResponseReader
from llmproxy_grpc.providers.chat_completions.shapes import ANSWER
from llmproxy_grpc.providers.chat_completions.stream import Expectation, StreamDecoder
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.sse import ServerSentEvent, SseReader
from tests.providers.conversations import assembled

DONE = ServerSentEvent("", b"[DONE]")
COUNTS = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def decoder(**expectation: Any) -> StreamDecoder:
    numbers = count()
    return StreamDecoder(
        Expectation(**{"model": "test-model", **expectation}),
        new_id=lambda: f"call_new{next(numbers)}",
        headers={},
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )


def event(chunk: Any, name: str = "") -> ServerSentEvent:
    return ServerSentEvent(name, json.dumps(chunk).encode())


def delta(finish: str | None = None, index: int = 0, logprobs: Any = None, **fields: Any) -> ServerSentEvent:
    choice = {"index": index, "delta": fields, "logprobs": logprobs, "finish_reason": finish}
    return event({"id": "chatcmpl-1", "model": "test-model", "choices": [choice]})


def fragment(arguments: Any = None, **fields: Any) -> ServerSentEvent:
    function = {"name": fields.pop("name", None), "arguments": arguments}
    return delta(tool_calls=[{"function": function, **fields}])


def run(*events: ServerSentEvent, each_alone: bool = False, **expectation: Any) -> list[StreamEvent]:
    decoding = decoder(**expectation)
    given_events: list[StreamEvent] = []
    for batch in [[each] for each in events] if each_alone else [events]:
        decoding.feed(batch)
        given_events += decoding.take()
    decoding.end()
    return given_events + decoding.take()


def answer(*events: ServerSentEvent, **options: Any) -> ProviderResponse:
    """The answer that the events add up to, the same whether they came together or one by one."""
    together = assembled(run(*events, **options))
    assert assembled(run(*events, each_alone=True, **options)) == together
    return together


def parts(*events: ServerSentEvent, **options: Any) -> tuple[Any, ...]:
    return answer(*events, delta("stop"), **options).candidates[0].message.parts


def test_text_of_one_read_is_one_delta():
    assert run(delta(role="assistant", content=""), delta(content="a"), delta(content="b"), delta("stop"), DONE) == [
        TextDelta(text="ab"),
        CandidateFinish(0, FinishReason.STOP, "stop"),
        UpstreamEnd(),
    ]


def test_text_of_several_reads_is_not_held_back():
    decoding = decoder()
    decoding.feed([delta(content="a")])
    assert decoding.take() == [TextDelta(text="a")]
    decoding.feed([delta(content="b")])
    assert decoding.take() == [TextDelta(text="b")]


def test_the_role_alone_is_no_output():
    decoding = decoder()
    decoding.feed([delta(role="assistant", content="")])
    assert decoding.take() == []
    assert not decoding.output_started


def test_nulls_are_nothing():
    nothing = delta(role=None, content=None, tool_calls=None, refusal=None, reasoning_content=None, function_call=None)
    assert parts(nothing, delta(content="x")) == (TextPart(text="x"),)


def test_each_change_of_kind_opens_the_next_part():
    assert parts(
        delta(reasoning_content="h"),
        delta(reasoning="m"),
        delta(content="a"),
        delta(content="b"),
        delta(refusal="no"),
        fragment("{}", id="c1", name="f", index=0),
        delta(content="c"),
        delta(reasoning_content="x", content="d"),
    ) == (
        ReasoningPart(text="hm"),
        TextPart(text="ab"),
        RefusalPart(text="no"),
        ToolCallPart(id="c1", name="f", arguments_json="{}"),
        TextPart(text="c"),
        ReasoningPart(text="x"),
        TextPart(text="d"),
    )


def test_thinking_that_comes_under_both_names_counts_once():
    assert parts(delta(reasoning_content="hm", reasoning="hm")) == (ReasoningPart(text="hm"),)


def test_thinking_is_left_out_if_it_is_not_wanted():
    assert parts(delta(reasoning="hm"), delta(content="x"), show_thinking=False) == (TextPart(text="x"),)


def test_content_may_come_as_a_list():
    thought = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
    assert parts(delta(content=thought), delta(content=[{"type": "text", "text": "x"}])) == (
        ReasoningPart(text="hm"),
        TextPart(text="x"),
    )


def test_a_refusal_that_ends_with_stop_is_one():
    (candidate,) = answer(delta(refusal="I"), delta(refusal=" won't"), delta("stop")).candidates
    assert candidate.finish_reason is FinishReason.REFUSAL
    assert candidate.message.parts == (RefusalPart(text="I won't"),)


# Tool calls.


def test_fragments_of_calls_are_put_together_by_index():
    assert parts(
        fragment("", id="a", name="f", index=0),
        fragment('{"x"', index=0),
        fragment("", id="b", name="g", index=1),
        fragment(":1}", index=0),
        fragment("{}", index=1),
    ) == (
        ToolCallPart(id="a", name="f", arguments_json='{"x":1}'),
        ToolCallPart(id="b", name="g", arguments_json="{}"),
    )


def test_a_new_id_is_a_new_call_though_the_index_stays_zero():
    assert parts(
        fragment("{}", id="a", name="f", index=0),
        fragment('{"x":', id="b", name="f", index=0),
        fragment("1}", index=0),
    ) == (
        ToolCallPart(id="a", name="f", arguments_json="{}"),
        ToolCallPart(id="b", name="f", arguments_json='{"x":1}'),
    )


def test_without_index_arguments_continue_the_last_call():
    assert parts(
        fragment("", id="a", name="f"), fragment("{"), fragment("}"), fragment("", id="b", name="g"), fragment("[]")
    ) == (
        ToolCallPart(id="a", name="f", arguments_json="{}"),
        ToolCallPart(id="b", name="g", arguments_json="[]"),
    )


def test_id_and_name_in_every_fragment_are_set_and_not_appended():
    assert parts(
        fragment("{", id="a", name="f", index=0),
        fragment('"x":1', id="a", name="f", index=0),
        fragment("}", id="a", name="f", index=0),
    ) == (ToolCallPart(id="a", name="f", arguments_json='{"x":1}'),)


def test_an_id_brings_back_its_call_whatever_came_between():
    assert parts(
        fragment("{", id="a", name="f"), fragment("[", id="b", name="g"), fragment("}", id="a"), fragment("]", id="b")
    ) == (ToolCallPart(id="a", name="f", arguments_json="{}"), ToolCallPart(id="b", name="g", arguments_json="[]"))


@pytest.mark.parametrize("absent", [{}, {"id": None}, {"id": ""}])
def test_a_call_without_id_gets_one_that_stays(absent):
    assert parts(
        fragment("{", name="f", index=0, **absent),
        fragment("}", index=0, **absent),
        fragment("[]", name="g", index=1, **absent),
    ) == (
        ToolCallPart(id="call_new0", name="f", arguments_json="{}"),
        ToolCallPart(id="call_new1", name="g", arguments_json="[]"),
    )


def test_another_name_under_the_same_index_is_another_call():
    assert [part.name for part in parts(fragment("{}", name="f", index=0), fragment("{}", name="g", index=0))] == [
        "f",
        "g",
    ]


def test_a_late_id_does_not_change_the_one_given_out():
    assert parts(fragment("{", name="f", index=0), fragment("}", index=0, id="late")) == (
        ToolCallPart(id="call_new0", name="f", arguments_json="{}"),
    )


def test_a_call_waits_for_its_name():
    events = run(fragment("{", id="a", index=0), fragment("}", name="f", index=0), delta("stop"), each_alone=True)
    assert events[0] == ToolCallDelta(id="a", name="f", arguments_json="{}")


def test_a_call_that_never_got_a_name_is_not_lost():
    assert parts(fragment("{}", id="a", index=0)) == (ToolCallPart(id="a", name="", arguments_json="{}"),)


def test_a_call_without_arguments_has_none():
    assert parts(fragment(None, id="a", name="f", index=0)) == (ToolCallPart(id="a", name="f", arguments_json=""),)


def test_arguments_may_come_as_an_object():
    assert parts(fragment({"x": 1}, id="a", name="f")) == (ToolCallPart(id="a", name="f", arguments_json='{"x":1}'),)


def test_a_legacy_call_beside_the_new_form_counts_once():
    both = {
        "tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}],
        "function_call": {"name": "f", "arguments": "{}"},
    }
    assert parts(delta(**both)) == (ToolCallPart(id="a", name="f", arguments_json="{}"),)
    later = delta(function_call={"arguments": "{}"})
    assert len(parts(fragment("{}", id="a", name="f"), later)) == 1


def test_a_legacy_call_alone_is_a_call():
    assert parts(delta(function_call={"name": "f", "arguments": ""}), delta(function_call={"arguments": "{}"})) == (
        ToolCallPart(id="call_new0", name="f", arguments_json="{}"),
    )


def test_a_custom_call_is_marked():
    events = (
        delta(tool_calls=[{"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": "l"}}]),
        delta(tool_calls=[{"index": 0, "custom": {"input": "s"}}]),
    )
    assert parts(*events) == (ToolCallPart(id="a", name="sh", arguments_json="ls", continuity_token=CUSTOM_CALL),)


def test_stop_after_tool_calls_waits_for_their_results():
    (candidate,) = answer(fragment("{}", id="a", name="f"), delta("stop")).candidates
    assert (candidate.finish_reason, candidate.raw_finish_reason) == (FinishReason.TOOL_CALLS, "stop")


def test_calls_that_come_behind_the_finish_reason_count():
    (candidate,) = answer(delta("stop"), fragment("{}", id="a", name="f")).candidates
    assert candidate.finish_reason is FinishReason.TOOL_CALLS


# Ends.


def test_usage_comes_behind_the_finish():
    events = (delta(content="x"), delta("stop"), event({"choices": [], "usage": COUNTS}), DONE)
    assert answer(*events).usage == Usage(3, 4, 7)


def test_of_cumulative_usage_the_last_holds():
    first = event({"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": {**COUNTS, "completion_tokens": 1}})
    assert answer(
        first, delta("stop"), event({"choices": [], "usage": COUNTS}), event({"choices": [], "usage": None})
    ).usage == Usage(3, 4, 7)


def test_groq_puts_usage_into_a_corner_of_its_own():
    last = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": COUNTS}})
    assert answer(delta(content="x"), last).usage == Usage(3, 4, 7)


def test_usage_that_never_comes_is_none():
    assert answer(delta(content="x"), delta("stop"), DONE).usage is None


def test_chunks_without_choices_say_nothing():
    azure = event({"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
    filters = event({"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]})
    assert parts(azure, filters, delta(content="x"), filters, event({}), event({"choices": None})) == (
        TextPart(text="x"),
    )


@pytest.mark.parametrize("end", [[DONE], [ServerSentEvent("", b" [DONE] ")], []])
def test_a_finish_reason_completes_a_stream_with_or_without_done(end):
    assert isinstance(run(delta(content="x"), delta("stop"), *end)[-1], UpstreamEnd)


def test_nothing_counts_behind_done():
    assert assembled(run(delta("stop"), DONE, delta(content="more"))).candidates[0].message.parts == ()


@pytest.mark.parametrize("end", [[DONE], []])
def test_a_stream_without_finish_reason_is_never_complete(end):
    with pytest.raises(UpstreamStreamBroken):
        run(delta(content="x"), *end)


@pytest.mark.parametrize("end", [[DONE], []])
@pytest.mark.parametrize(
    "begin", [[], [delta(role="assistant", content="")], [event({"choices": [], "usage": COUNTS})]]
)
def test_a_stream_without_output_and_end_cannot_be_read(begin, end):
    with pytest.raises(UpstreamProtocolError):
        run(*begin, *end)


def test_an_empty_finish_reason_is_none():
    with pytest.raises(UpstreamStreamBroken):
        run(delta("", content="x"), DONE)


def test_an_empty_answer_that_ends_is_complete():
    assert answer(delta("stop", role="assistant"), DONE).candidates[0].message.parts == ()


def test_every_candidate_that_began_has_to_end():
    with pytest.raises(UpstreamStreamBroken):
        run(delta(content="a", index=0), delta(content="b", index=1), delta("stop", index=0), DONE)


def test_candidates_are_told_apart():
    response = answer(
        delta(content="a", index=0),
        delta(content="b", index=1),
        delta(content="A", index=0),
        delta("stop", index=1),
        delta("length", index=0),
        candidates=2,
    )
    assert [candidate.message.parts[0].text for candidate in response.candidates] == ["aA", "b"]
    assert [candidate.raw_finish_reason for candidate in response.candidates] == ["length", "stop"]


def test_only_the_tail_is_missing_when_all_candidates_asked_for_have_ended():
    decoding = decoder(candidates=2)
    decoding.feed([delta("stop", content="a", index=0)])
    assert decoding.complete
    assert not decoding.only_tail_missing
    decoding.feed([delta(content="b", index=1)])
    assert not decoding.complete
    decoding.feed([delta("stop", index=1), delta("stop", index=1)])
    assert decoding.only_tail_missing


def test_a_repeated_finish_reason_ends_once():
    events = run(delta(content="x"), delta("stop"), delta("stop"), DONE)
    assert sum(isinstance(each, CandidateFinish) for each in events) == 1


def test_a_whole_message_at_the_end_counts_only_where_no_delta_came():
    last = event({"choices": [{"index": 0, "message": {"content": "all"}, "finish_reason": "stop"}]})
    assert answer(last).candidates[0].message.parts == (TextPart(text="all"),)
    assert answer(delta(content="all"), last).candidates[0].message.parts == (TextPart(text="all"),)


def test_a_matched_stop_sequence_is_told():
    last = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "matched_stop": "END"}]})
    (candidate,) = answer(delta(content="x"), last).candidates
    assert (candidate.finish_reason, candidate.matched_stop_sequence) == (FinishReason.STOP_SEQUENCE, "END")


# Errors in the middle.


@pytest.mark.parametrize(
    ("chunk", "kind"),
    [
        ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, UpstreamRateLimited),
        (
            {"error": {"message": "slow down", "code": 429}, "choices": [{"index": 0, "finish_reason": "error"}]},
            UpstreamRateLimited,
        ),
        ({"error": {"message": "too long", "code": "context_length_exceeded"}}, ContextLengthExceeded),
        ({"error": {"message": "oops", "type": "server_error"}}, UpstreamServerError),
        ({"error": {"message": "busy", "type": "overloaded_error"}}, UpstreamOverloaded),
        ({"error": "oops"}, UpstreamServerError),
        ({"choices": [{"index": 0, "error": {"code": 502, "message": "oops"}}]}, UpstreamServerError),
        ({"object": "error", "message": "oops", "type": "server_error", "code": 500}, UpstreamServerError),
        ({"detail": "oops"}, UpstreamServerError),
    ],
)
@pytest.mark.parametrize("before", [[], [delta(content="x")]])
def test_an_error_in_the_stream_is_the_error_it_says(before, chunk, kind):
    with pytest.raises(ProxyError) as caught:
        run(*before, event(chunk))
    assert type(caught.value) is kind


def test_an_error_event_is_an_error_whatever_its_data_looks_like():
    with pytest.raises(UpstreamRateLimited):
        run(event({"message": "slow down", "code": 429}, "error"))


def test_output_before_an_error_is_given_first():
    decoding = decoder()
    with pytest.raises(UpstreamServerError):
        decoding.feed([delta(content="x"), event({"error": {"message": "oops"}})])
    assert decoding.take() == [TextDelta(text="x")]


def test_an_error_behind_the_finish_is_still_one():
    with pytest.raises(UpstreamServerError):
        run(delta("stop", content="x"), event({"error": {"message": "oops"}}))


def test_a_finish_reason_that_says_error_is_none():
    with pytest.raises(UpstreamStreamBroken):
        run(delta(content="x"), delta("error"))
    with pytest.raises(UpstreamServerError):
        run(delta("error"))


@pytest.mark.parametrize(
    "data", [b"<html>", b"null", b"[1]", b'"x"', b'{"choices":', b'{"choices":[{"delta":7}]}', b"NaN"]
)
def test_what_is_no_chunk_cannot_be_read(data):
    with pytest.raises(UpstreamProtocolError):
        run(ServerSentEvent("", data))


def test_half_an_event_at_the_end_of_the_connection_is_ignored():
    decoding = decoder()
    decoding.feed([delta(content="x"), delta("stop")])
    decoding.feed_rest([ServerSentEvent("", b'{"choices":[{"del')])
    decoding.end()
    assert isinstance(decoding.take()[-1], UpstreamEnd)


# Characters, log probabilities, sources.


def test_a_character_split_between_two_deltas_is_joined():
    assert parts(delta(content="a\ud83d"), delta(content="\ude00b")) == (TextPart(text="a😀b"),)


def test_half_a_character_without_its_other_half_is_replaced():
    assert parts(delta(content="a\ud83d"), delta(reasoning="\ude00")) == (
        TextPart(text="a\ufffd"),
        ReasoningPart(text="\ufffd"),
    )
    assert parts(delta(content="\ud83d")) == (TextPart(text="\ufffd"),)


def test_characters_of_arguments_are_joined_within_their_call():
    assert parts(
        fragment("\ud83d", id="a", name="f", index=0),
        fragment("\ud83d", id="b", name="g", index=1),
        fragment("\ude00", index=0),
    ) == (
        ToolCallPart(id="a", name="f", arguments_json="😀"),
        ToolCallPart(id="b", name="g", arguments_json="\ufffd"),
    )


def logprobs(*tokens: str) -> dict[str, Any]:
    return {"content": [{"token": token, "logprob": -1.0, "bytes": None, "top_logprobs": []} for token in tokens]}


def test_log_probabilities_come_with_their_text():
    events = run(delta(content="a", logprobs=logprobs("a")), delta(content="b", logprobs=logprobs("b")), delta("stop"))
    assert events[0] == TextDelta(text="ab", logprobs=(TokenLogprob("a", -1.0), TokenLogprob("b", -1.0)))


def test_log_probabilities_without_text_are_not_lost():
    events = run(delta(content="", logprobs=logprobs("")), delta("stop"))
    assert events[0] == TextDelta(text="", logprobs=(TokenLogprob("", -1.0),))
    called = run(fragment("{}", id="a", name="f"), delta(logprobs=logprobs("{}")), delta("stop"), each_alone=True)
    assert called[1] == ToolCallDelta(logprobs=(TokenLogprob("{}", -1.0),))


def test_sources_come_with_the_text():
    source = {"type": "url_citation", "url_citation": {"url": "https://example.test", "start_index": 0, "end_index": 1}}
    events = run(delta(content="a"), delta(annotations=[source]), delta("stop"), each_alone=True)
    assert events[1] == TextDelta(text="", citations=(Citation("https://example.test", "", 0, 1),))
    assert len(answer(delta(content="a"), delta(annotations=[source]), delta("stop")).candidates[0].message.parts) == 1


def test_log_probabilities_before_any_text_open_its_part():
    events = run(delta(content=None, logprobs=logprobs("")), delta(content="a"), delta("stop"), each_alone=True)
    assert events[:2] == [TextDelta(text="", logprobs=(TokenLogprob("", -1.0),)), TextDelta(text="a")]


def test_metadata_is_that_of_the_first_chunk_that_says_something():
    chunk = {
        "model": "test-model-0613",
        "system_fingerprint": "fp",
        "choices": [{"index": 0, "delta": {"content": "x"}}],
    }
    assert answer(event({"choices": []}), event(chunk), delta("stop")).provider_metadata == {
        "model": "test-model-0613",
        "system_fingerprint": "fp",
    }


# Properties.

texts = st.text(st.characters(codec="utf-8"), max_size=20)
messages = st.fixed_dictionaries(
    {
        "reasoning_content": st.none() | texts,
        "content": st.none() | texts,
        "refusal": st.none() | texts,
        "tool_calls": st.lists(
            st.fixed_dictionaries({"name": st.text("abc", min_size=1, max_size=5), "arguments": texts}), max_size=3
        ),
    }
)


def pieces_of(data: st.DataObject, text: str) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def chunks_of(data: st.DataObject, message: dict[str, Any]) -> Sequence[ServerSentEvent]:
    chunks = [delta(role="assistant")]
    for field in ("reasoning_content", "content", "refusal"):
        chunks += [delta(**{field: piece}) for piece in pieces_of(data, message[field] or "")]
    for index, called in enumerate(message["tool_calls"]):
        first, *rest = pieces_of(data, called["arguments"])
        chunks.append(fragment(first, id=f"c{index}", name=called["name"], index=index))
        chunks += [fragment(piece, index=index) for piece in rest]
    return [*chunks, delta("stop"), event({"choices": [], "usage": COUNTS}), DONE]


@given(messages, st.data())
def test_a_stream_says_the_same_as_an_answer_in_one_piece(message, data):
    calls = [
        {"id": f"c{index}", "type": "function", "function": called}
        for index, called in enumerate(message["tool_calls"])
    ]
    whole = {
        "model": "test-model",
        "choices": [{"index": 0, "message": {**message, "tool_calls": calls}, "finish_reason": "stop"}],
        "usage": COUNTS,
    }
    reader = ResponseReader(new_id=str, show_thinking=True)
    expected = reader.read(decode(json.dumps(whole).encode(), ANSWER), model="test-model", request_id="")
    assert assembled(run(*chunks_of(data, message))) == expected


@given(messages, st.data())
def test_a_stream_means_the_same_however_the_network_splits_it(message, data):
    chunks = chunks_of(data, message)
    body = b"".join(b"data: " + chunk.data + b"\n\n" for chunk in chunks)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    reader, decoding, events = SseReader(), decoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        decoding.feed(reader.feed(body[start:end]))
        events += decoding.take()
    decoding.end()
    events += decoding.take()
    assert assembled(events) == assembled(run(*chunks))


@given(st.lists(st.sampled_from(["a\ud83d", "\ude00", "b", "\ud83d", "é", ""]), max_size=8))
def test_no_text_of_a_stream_ever_holds_half_a_character(pieces):
    for each in run(*(delta(content=piece) for piece in pieces), delta("stop"), each_alone=True):
        if isinstance(each, TextDelta | ReasoningDelta):
            each.text.encode()
