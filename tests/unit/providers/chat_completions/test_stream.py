from typing import Any

from llmproxy_grpc.messages import (
    CandidateFinish,
    Citation,
    FinishReason,
    ReasoningPart,
    RefusalPart,
    TextDelta,
    TextPart,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
    UpstreamEnd,
)
from tests.unit.providers.chat_completions.chunks import (
    COUNTS,
    DONE,
    answer,
    decoder,
    delta,
    event,
    fragment,
    parts,
    run,
)


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
    early = run(delta(content="", logprobs=logprobs("")), fragment("{}", id="a", name="f"), delta("stop"))
    assert early[0] == ToolCallDelta(id="a", name="f", arguments_json="{}", logprobs=(TokenLogprob("", -1.0),))
    called = run(fragment("{}", id="a", name="f"), delta(logprobs=logprobs("{}")), delta("stop"), each_alone=True)
    assert called[1] == ToolCallDelta(logprobs=(TokenLogprob("{}", -1.0),))


def test_sources_come_with_the_text():
    source = {"type": "url_citation", "url_citation": {"url": "https://example.test", "start_index": 0, "end_index": 1}}
    events = run(delta(content="a"), delta(annotations=[source]), delta("stop"), each_alone=True)
    assert events[1] == TextDelta(text="", citations=(Citation("https://example.test", "", 0, 1),))
    assert len(answer(delta(content="a"), delta(annotations=[source]), delta("stop")).candidates[0].message.parts) == 1


def test_log_probabilities_before_any_text_wait_for_it():
    events = run(delta(content=None, logprobs=logprobs("")), delta(content="a"), delta("stop"), each_alone=True)
    assert events[0] == TextDelta(text="a", logprobs=(TokenLogprob("", -1.0),))


def test_log_probabilities_of_nothing_are_no_text():
    assert answer(delta(content="", logprobs=logprobs("")), delta("stop")).candidates[0].message.parts == ()


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


def test_sources_are_told_that_come_with_the_last_chunks_alone():
    head = event({"choices": [{"index": 0, "delta": {"content": "x"}}], "model": "other", "citations": None})
    found = {"citations": ["https://example.test"], "search_results": [{"title": "t"}]}
    tail = event({"choices": [], "usage": COUNTS, **found})
    assert answer(head, delta("stop"), tail).provider_metadata == {"model": "other", **found}


def test_the_tier_is_the_one_that_was_told_last():
    chunks = [
        event({"choices": [{"index": 0, "delta": {"content": "x"}}], "service_tier": tier})
        for tier in ("auto", "auto", "flex", None)
    ]
    tail = event({"choices": [], "usage": COUNTS, "service_tier": "priority"})
    assert answer(*chunks, delta("stop")).provider_metadata == {"service_tier": "flex"}
    told = answer(*chunks, delta("stop"), tail)
    assert told.provider_metadata == {"service_tier": "priority"}
    assert told.usage.at_other_rates
