import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import (
    Candidate,
    CandidateFinish,
    Citation,
    FinishReason,
    MediaKind,
    MediaPart,
    Message,
    PartDelta,
    ProviderResponse,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    Role,
    TextDelta,
    TextPart,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
    UpstreamEnd,
    UpstreamStart,
    Usage,
)
from llmproxy_grpc.messages.collected import Collected

ONE, TWO = Citation("https://one.test"), Citation("https://two.test")
PICTURE = MediaPart(kind=MediaKind.IMAGE, data=b"\x89PNG", media_type="image/png")
STOP = CandidateFinish(0, FinishReason.STOP, "stop")


def response(*events):
    collected = Collected()
    collected.take(events)
    return collected.response("upstream-1")


def part(*deltas):
    (candidate,) = response(*deltas, STOP).candidates
    (part,) = candidate.message.parts
    return part


@pytest.mark.parametrize(
    ("deltas", "whole"),
    [
        ([TextDelta(text="a"), TextDelta(text=""), TextDelta(text="b")], TextPart(text="ab")),
        ([TextDelta(text="")], TextPart(text="")),
        ([ReasoningDelta(text="h"), ReasoningDelta(text="m")], ReasoningPart(text="hm")),
        (
            [ReasoningDelta(text="", redacted=True, continuity_token=b"t")],
            ReasoningPart(redacted=True, continuity_token=b"t"),
        ),
        (
            [ReasoningDelta(text="s", summary=True), ReasoningDelta(text="um", summary=True)],
            ReasoningPart(text="sum", summary=True),
        ),
        ([RefusalDelta(text="N"), RefusalDelta(text="o.")], RefusalPart(text="No.")),
        (
            [ToolCallDelta(id="c", name="f", arguments_json='{"a"'), ToolCallDelta(arguments_json=":1}")],
            ToolCallPart(id="c", name="f", arguments_json='{"a":1}'),
        ),
        ([ToolCallDelta(id="c", name="f")], ToolCallPart(id="c", name="f", arguments_json="")),
        ([PartDelta(part=PICTURE)], PICTURE),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, list) else "",
)
def test_the_deltas_of_a_part_add_up_to_it(deltas, whole):
    assert part(*deltas) == whole


@pytest.mark.parametrize("kind", [TextDelta, ReasoningDelta, RefusalDelta])
def test_citations_add_up_and_the_last_token_holds(kind):
    whole = part(
        kind(text="a", citations=(ONE,), continuity_token=b"first"),
        kind(text="b", citations=(TWO,), continuity_token=b"last"),
        kind(text="c"),
    )
    assert (whole.text, whole.citations, whole.continuity_token) == ("abc", (ONE, TWO), b"last")


def test_a_tool_call_keeps_its_token():
    assert part(ToolCallDelta(id="c", name="f", continuity_token=b"t"), ToolCallDelta()).continuity_token == b"t"


def test_parts_stand_in_the_order_of_their_indices():
    events = [
        TextDelta(text="b", part_index=1),
        ReasoningDelta(text="a"),
        TextDelta(text="b", part_index=1),
        PartDelta(part=PICTURE, part_index=2),
    ]
    (candidate,) = response(*events).candidates
    assert candidate.message.parts == (ReasoningPart(text="a"), TextPart(text="bb"), PICTURE)


def test_candidates_are_told_apart():
    first, second = response(
        TextDelta(text="b", candidate_index=1),
        TextDelta(text="a"),
        CandidateFinish(1, FinishReason.STOP_SEQUENCE, "stop", "END"),
        CandidateFinish(0, FinishReason.MAX_TOKENS, "length"),
    ).candidates
    assert first == Candidate(0, Message(Role.ASSISTANT, (TextPart(text="a"),)), FinishReason.MAX_TOKENS, "length")
    assert second == Candidate(
        1, Message(Role.ASSISTANT, (TextPart(text="b"),)), FinishReason.STOP_SEQUENCE, "stop", "END"
    )


def test_log_probabilities_are_the_candidates_whichever_part_they_came_with():
    one, two = TokenLogprob("a", -1.0), TokenLogprob("b", -2.0)
    (candidate,) = response(
        TextDelta(text="a", logprobs=(one,)), RefusalDelta(text="b", part_index=1, logprobs=(two,))
    ).candidates
    assert candidate.logprobs == (one, two)


def test_the_end_tells_usage_and_metadata():
    answer = response(UpstreamStart("u"), TextDelta(text="a"), STOP, UpstreamEnd(Usage(1, 2, 3), {"model": "m"}))
    assert (answer.usage, answer.provider_metadata) == (Usage(1, 2, 3), {"model": "m"})
    assert answer.upstream_request_id == "upstream-1"


def test_nothing_adds_up_to_nothing():
    assert response() == ProviderResponse((), None, "upstream-1")
    assert response(UpstreamStart("u")).candidates == ()


def test_a_candidate_that_only_ended_has_no_parts():
    (candidate,) = response(STOP).candidates
    assert candidate == Candidate(0, Message(Role.ASSISTANT, ()), FinishReason.STOP, "stop")


def test_a_candidate_that_has_not_ended_gives_no_reason():
    (candidate,) = response(TextDelta(text="a")).candidates
    assert candidate.finish_reason is FinishReason.UNSPECIFIED


EVENTS = [
    UpstreamStart("u"),
    ReasoningDelta(text="h"),
    ReasoningDelta(text="m", continuity_token=b"t"),
    TextDelta(text="a", part_index=1, citations=(ONE,)),
    ToolCallDelta(id="c", name="f", arguments_json="{", part_index=2),
    ToolCallDelta(arguments_json="}", part_index=2),
    CandidateFinish(0, FinishReason.TOOL_CALLS, "tool_calls"),
    UpstreamEnd(Usage(1, 2, 3)),
]


@given(st.lists(st.integers(0, len(EVENTS)), max_size=8).map(sorted))
def test_how_events_are_batched_makes_no_difference(cuts):
    collected = Collected()
    for start, end in zip([0, *cuts], [*cuts, len(EVENTS)], strict=True):
        collected.take(EVENTS[start:end])
    assert collected.response("upstream-1") == response(*EVENTS)
