"""A stream becomes the answer that Chat would have given, or is refused."""

from itertools import accumulate

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_client import Answer, BrokenStream, StreamFailed, collect, text
from llmproxy_client.v1.chat_pb2 import ContentDelta, StreamResponse
from llmproxy_client.v1.content_pb2 import ROLE_ASSISTANT, ContentPart
from llmproxy_client.v1.error_pb2 import ERROR_REASON_UPSTREAM_STREAM_BROKEN
from llmproxy_client.v1.generation_pb2 import FINISH_REASON_MAX_TOKENS, FINISH_REASON_STOP, FINISH_REASON_UNSPECIFIED

START = {"start": {"id": "r1", "model": "assistant"}}
END = {"end": {}}


@pytest.fixture(name="parts")
def _parts(numbered):
    def parts_of(*deltas) -> list[ContentPart]:
        response = collect(numbered(START, *({"delta": delta} for delta in deltas), END))
        return list(response.candidates[0].message.parts)

    return parts_of


def test_a_whole_stream_becomes_the_answer(spoken):
    response = collect(spoken("Hello", " there"))

    assert (response.id, response.model) == ("r1", "assistant")
    assert len(response.candidates) == 1
    assert response.candidates[0].message.role == ROLE_ASSISTANT
    assert [part.text for part in response.candidates[0].message.parts] == ["Hello there"]
    assert response.candidates[0].finish_reason == FINISH_REASON_STOP
    assert response.usage.output_tokens == 2


@given(
    wanted=st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 3)), st.lists(st.text(min_size=1), min_size=1), min_size=1
    ),
    order=st.randoms(use_true_random=False),
)
def test_pieces_land_in_their_candidate_and_part_however_they_interleave(wanted, order):
    queues = {place: list(pieces) for place, pieces in wanted.items()}
    deltas = []
    while queues:
        place = order.choice(sorted(queues))
        deltas.append(ContentDelta(candidate_index=place[0], part_index=place[1], text=queues[place].pop(0)))
        queues = {place: pieces for place, pieces in queues.items() if pieces}
    answer = Answer()
    for number, delta in enumerate(deltas):
        answer.add(StreamResponse(sequence=number, delta=delta))
    answer.add(StreamResponse(sequence=len(deltas), end={}))

    built = [
        (candidate.index, [part.text for part in candidate.message.parts]) for candidate in answer.response().candidates
    ]

    assert built == [
        (index, ["".join(wanted[place]) for place in sorted(wanted) if place[0] == index])
        for index in sorted({candidate for candidate, _ in wanted})
    ]


@pytest.mark.parametrize("length", range(5))
def test_a_stream_that_stops_before_its_end_is_refused(spoken, length):
    cut = spoken("Hello", " there")[:length]

    with pytest.raises(BrokenStream, match="before its end"):
        collect(cut)
    with pytest.raises(BrokenStream, match="before its end"):
        list(text(cut))


@pytest.mark.parametrize("lost", range(4))
def test_a_stream_that_lost_an_event_is_refused(spoken, lost):
    events = spoken("Hello", " there")
    del events[lost]

    with pytest.raises(BrokenStream, match=f"event {lost + 1} came where {lost} was due"):
        collect(events)
    with pytest.raises(BrokenStream):
        list(text(events))


def test_an_event_that_comes_twice_is_refused(spoken):
    events = spoken("Hello")

    with pytest.raises(BrokenStream):
        collect([events[0], events[1], events[1], *events[2:]])


def test_nothing_may_follow_the_end(numbered):
    with pytest.raises(BrokenStream, match="after the end"):
        collect(numbered(START, END, {"delta": {"text": "more"}}))


def test_heartbeats_and_unknown_events_are_counted_and_ignored(numbered):
    unknown = StreamResponse.FromString(b"\x08\x02\x9a\x06\x03new")  # sequence 2, and a field 99
    events = numbered({"heartbeat": {}}, START, {"heartbeat": {}}, {"delta": {"text": "Hi"}}, END)
    events[2] = unknown

    response = collect(events)

    assert response.id == "r1"
    assert response.candidates[0].message.parts[0].text == "Hi"


def test_text_yields_each_piece_of_its_candidate_alone(numbered):
    events = numbered(
        START,
        {"delta": {"text": "a"}},
        {"delta": {"reasoning": {"text": "hm"}, "part_index": 1}},
        {"delta": {"candidate_index": 1, "text": "b"}},
        {"delta": {"text": "c", "part_index": 2}},
        END,
    )

    assert list(text(events)) == ["a", "c"]
    assert list(text(events, candidate=1)) == ["b"]


def test_text_yields_before_the_stream_is_over(spoken):
    events = iter(spoken("Hello", " there"))

    assert next(text(events)) == "Hello"
    assert next(events).delta.text == " there"


def test_a_tool_call_keeps_the_names_of_its_first_fragment_and_all_its_arguments(parts):
    call = parts(
        {"tool_call": {"id": "c1", "name": "weather", "arguments_json": '{"ci'}},
        {"tool_call": {"arguments_json": 'ty": "Bo'}},
        {"tool_call": {"arguments_json": "nn"}},
    )[0].tool_call

    assert (call.id, call.name, call.arguments_json) == ("c1", "weather", '{"city": "Bonn')


def test_reasoning_keeps_its_flags_and_its_token(parts):
    part = parts(
        {"reasoning": {"text": "I "}},
        {"reasoning": {"text": "think", "summary": True}},
        {"continuity_token": b"one"},
        {"continuity_token": b"two"},
        {},
    )[0]

    assert part.reasoning.text == "I think"
    assert part.reasoning.summary
    assert not part.reasoning.redacted
    assert part.continuity_token == b"two"


def test_redacted_reasoning_is_a_part_without_text(parts):
    part = parts({"reasoning": {"redacted": True}, "continuity_token": b"secret"})[0]

    assert part.reasoning.redacted
    assert part.continuity_token == b"secret"


def test_a_token_alone_is_kept_for_the_next_turn(parts):
    assert parts({"continuity_token": b"token"})[0].continuity_token == b"token"


def test_empty_text_is_still_text(parts):
    assert parts({"text": ""})[0].WhichOneof("part") == "text"


def test_a_refusal_grows_like_text(parts):
    assert parts({"refusal": "I "}, {"refusal": "won't"})[0].refusal == "I won't"


def test_a_whole_part_is_taken_over_with_what_the_delta_adds(parts):
    image = ContentPart(image={"data": b"png", "media_type": "image/png"}, citations=[{"uri": "a"}])

    part = parts({"part": image, "citations": [{"uri": "b"}], "continuity_token": b"t"})[0]

    assert part.image.data == b"png"
    assert [citation.uri for citation in part.citations] == ["a", "b"]
    assert part.continuity_token == b"t"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"text": "a"}, {"refusal": "b"}),
        ({"text": "a"}, {"tool_call": {"id": "c"}}),
        ({"part": ContentPart(text="a")}, {"part": ContentPart(text="b")}),
        ({"part": ContentPart(text="a")}, {"text": "b"}),
    ],
)
def test_a_part_never_changes_its_kind_and_a_whole_one_never_grows(parts, first, second):
    with pytest.raises(BrokenStream, match="cannot take more"):
        parts(first, second)


def test_citations_and_logprobs_keep_their_order(numbered):
    response = collect(
        numbered(
            {"delta": {"text": "a", "logprobs": [{"token": "a"}], "citations": [{"uri": "1"}]}},
            {"delta": {"text": "b", "part_index": 1, "logprobs": [{"token": "b"}, {"token": "c"}]}},
            {"delta": {"text": "d", "logprobs": [{"token": "d"}], "citations": [{"uri": "2"}]}},
            END,
        )
    )

    candidate = response.candidates[0]
    assert [logprob.token for logprob in candidate.logprobs] == ["a", "b", "c", "d"]
    assert [citation.uri for citation in candidate.message.parts[0].citations] == ["1", "2"]


def test_a_finish_tells_why_each_candidate_ended(numbered):
    finish = {"finish_reason": FINISH_REASON_MAX_TOKENS, "raw_finish_reason": "length", "matched_stop_sequence": "#"}

    response = collect(numbered(START, {"delta": {"text": "a"}}, {"finish": {**finish, "candidate_index": 1}}, END))

    unfinished, finished = response.candidates
    assert unfinished.finish_reason == FINISH_REASON_UNSPECIFIED
    assert finished.index == 1
    assert finished.finish_reason == FINISH_REASON_MAX_TOKENS
    assert (finished.raw_finish_reason, finished.matched_stop_sequence) == ("length", "#")
    assert not finished.message.parts


def test_usage_that_nobody_told_stays_unset(numbered):
    response = collect(numbered(START, END))

    assert not response.HasField("usage")
    assert not response.HasField("route")
    assert not response.HasField("create_time")


def test_the_end_tells_the_route_in_full(numbered):
    begun, full = {"route": {"provider": "a"}}, {"route": {"provider": "b", "failed_attempts": [{"provider": "a"}]}}

    assert collect(numbered({"start": begun}, {"end": full})).route.provider == "b"
    assert collect(numbered({"start": begun}, END)).route.provider == "a"


def test_each_warning_is_told_once(numbered):
    dropped, moved, late = ({"code": code} for code in ("DROPPED", "MOVED", "LATE"))

    response = collect(
        numbered({"start": {"warnings": [dropped]}}, {"warning": moved}, {"end": {"warnings": [dropped, late]}})
    )

    assert [warning.code for warning in response.warnings] == ["DROPPED", "LATE", "MOVED"]


def test_the_final_response_of_the_server_wins(numbered):
    response = collect(numbered(START, {"delta": {"text": "a"}}, {"end": {"final_response": {"id": "whole"}}}))

    assert response.id == "whole"


def test_metadata_of_the_provider_comes_with_the_end(numbered):
    response = collect(
        numbered(START, {"end": {"provider_metadata": {"openai": {"fields": {"tier": {"string_value": "flex"}}}}}})
    )

    assert response.provider_metadata["openai"]["tier"] == "flex"


def test_an_error_event_is_an_rpc_error_with_the_servers_code(numbered):
    error = {"grpc_code": 14, "message": "broke off", "detail": {"reason": ERROR_REASON_UPSTREAM_STREAM_BROKEN}}
    start, delta, failure = numbered(START, {"delta": {"text": "Hal"}}, {"error": error})
    answer = Answer()
    answer.add(start)
    answer.add(delta)

    with pytest.raises(grpc.RpcError) as caught:
        answer.add(failure)

    assert isinstance(caught.value, StreamFailed)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == "broke off"
    assert answer.partial().candidates[0].message.parts[0].text == "Hal"


def test_an_error_event_with_a_strange_code_is_unknown(numbered):
    with pytest.raises(StreamFailed) as caught:
        list(text(numbered({"error": {"grpc_code": 99}})))

    assert caught.value.code() is grpc.StatusCode.UNKNOWN


def test_what_came_so_far_can_be_read_at_any_time(spoken):
    answer, seen = Answer(), []
    for event in spoken("a", "b", "c"):
        answer.add(event)
        seen.append("".join(part.text for one in answer.partial().candidates for part in one.message.parts))

    assert seen == ["", *accumulate("abc"), "abc", "abc"]
