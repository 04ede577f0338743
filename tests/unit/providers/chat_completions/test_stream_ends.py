import pytest

from llmproxy_grpc.errors import UpstreamProtocolError, UpstreamStreamBroken
from llmproxy_grpc.messages import CandidateFinish, FinishReason, TextPart, UpstreamEnd, Usage, UsageSoFar
from llmproxy_grpc.providers.sse import ServerSentEvent
from tests.providers.conversations import assembled
from tests.unit.providers.chat_completions.chunks import COUNTS, DONE, answer, decoder, delta, event, parts, run


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


@pytest.mark.parametrize("asked", [1, 2])
def test_usage_of_one_candidate_is_not_that_of_several(asked):
    counts = event({"choices": [], "usage": COUNTS})
    several = delta(content="x"), delta("stop"), delta(content="y", index=1), delta("stop", index=1), counts
    assert answer(*several, candidates=asked).usage == Usage(3, 4, 7)
    assert answer(*several, candidates=asked, counts_candidates=False).usage is None
    events = run(*several, candidates=2, counts_candidates=False, each_alone=True)
    assert not any(isinstance(each, UsageSoFar) for each in events)
    assert answer(delta(content="x"), delta("stop"), counts, counts_candidates=False).usage == Usage(3, 4, 7)


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
