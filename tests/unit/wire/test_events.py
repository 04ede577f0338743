import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmproxy_grpc import messages as m
from llmproxy_grpc import wire
from llmproxy_grpc._gen.v1 import chat_pb2
from tests.unit.wire.test_response import call, describe


def test_a_stream_numbers_and_types_its_events():
    events = [
        wire.heartbeat_event(0),
        wire.start_event(1, call(), describe=describe),
        wire.delta_event(2, m.TextDelta(text="hi")),
        wire.finish_event(3, m.CandidateFinish(0, m.FinishReason.STOP)),
        wire.end_event(4, m.UpstreamEnd(), call(), describe=describe),
    ]
    received = [chat_pb2.StreamResponse.FromString(event.SerializeToString()) for event in events]
    assert [event.sequence for event in received] == list(range(5))
    kinds = [event.WhichOneof("event") for event in received]
    assert kinds == ["heartbeat", "start", "delta", "finish", "end"]


def test_even_an_event_that_says_nothing_has_its_type():
    empty = call(id="", model="", provider="", upstream_model="")
    assert wire.start_event(0, empty, describe=describe).WhichOneof("event") == "start"
    assert wire.end_event(0, m.UpstreamEnd(), empty, describe=describe).WhichOneof("event") == "end"
    finish = m.CandidateFinish(0, m.FinishReason.UNSPECIFIED)
    assert wire.finish_event(0, finish).WhichOneof("event") == "finish"
    assert wire.delta_event(0, m.ToolCallDelta()).delta.WhichOneof("delta") == "tool_call"
    assert wire.delta_event(0, m.ReasoningDelta(text="")).delta.WhichOneof("delta") == "reasoning"


def test_start_tells_the_call():
    start = wire.start_event(0, call(warnings=[m.Warning("C", "f", "m")]), describe=describe).start
    assert (start.id, start.model, start.route.provider) == ("0190", "assistant", "openai")
    assert start.create_time.seconds == int(call().create_time.timestamp())
    assert start.warnings[0].code == "C"


def test_end_tells_usage_metadata_and_warnings():
    end = wire.end_event(
        9,
        m.UpstreamEnd(provider_metadata={"tier": 1}),
        call(provider_kind="openai", usage=m.Usage(1, 2, 3), warnings=[m.Warning("C", "f", "m")]),
        describe=describe,
    ).end
    assert end.usage.total_tokens == 3
    assert end.provider_metadata["openai"]["tier"] == 1
    assert end.warnings[0].message == "m"
    bare = wire.end_event(9, m.UpstreamEnd(), call(provider_kind="openai"), describe=describe).end
    assert not bare.HasField("usage")
    assert not bare.HasField("final_response")
    assert not bare.provider_metadata


def test_a_tool_call_keeps_id_name_and_fragment():
    delta = wire.delta_event(
        0, m.ToolCallDelta(id="c1", name="f", arguments_json='{"a', part_index=2, candidate_index=1)
    ).delta
    assert (delta.candidate_index, delta.part_index) == (1, 2)
    assert (delta.tool_call.id, delta.tool_call.name, delta.tool_call.arguments_json) == ("c1", "f", '{"a')


def test_reasoning_keeps_its_flags():
    delta = wire.delta_event(0, m.ReasoningDelta(text="t", redacted=True, summary=True, continuity_token=b"s")).delta
    assert (delta.reasoning.text, delta.reasoning.redacted, delta.reasoning.summary) == ("t", True, True)
    assert delta.continuity_token == b"s"


def test_a_whole_part_is_carried_as_it_is():
    part = m.OpaquePart(provider_kind="k", type="t", value={"a": 1})
    assert wire.to_part(wire.delta_event(0, m.PartDelta(part=part)).delta.part) == part


def test_an_empty_text_may_carry_a_token_and_sources():
    delta = m.TextDelta(
        text="", continuity_token=b"t", citations=(m.Citation("u"),), logprobs=(m.TokenLogprob("a", -1.0),)
    )
    got = wire.delta_event(0, delta).delta
    assert got.WhichOneof("delta") == "text"
    assert (got.continuity_token, got.citations[0].uri, got.logprobs[0].token) == (b"t", "u", "a")


def test_a_finish_says_why():
    finish = m.CandidateFinish(1, m.FinishReason.STOP_SEQUENCE, "stop", "END")
    got = wire.finish_event(0, finish).finish
    assert (got.candidate_index, got.finish_reason) == (1, m.FinishReason.STOP_SEQUENCE)
    assert (got.raw_finish_reason, got.matched_stop_sequence) == ("stop", "END")


@pytest.mark.parametrize("kind", m.Delta.__subclasses__())
def test_every_kind_of_delta_can_be_written(kind):
    values = {"text": "t", "part": m.TextPart(text="t")}
    delta = kind(**{name: values[name] for name in kind.__struct_fields__ if name in values})
    assert wire.delta_event(0, delta).delta.WhichOneof("delta")


ANY_TEXT = st.text(st.characters(), max_size=20)
INTEGERS = st.integers(-(2**70), 2**70)
DELTAS = st.one_of(
    st.builds(m.TextDelta, text=ANY_TEXT, candidate_index=INTEGERS, part_index=INTEGERS),
    st.builds(m.ReasoningDelta, text=ANY_TEXT),
    st.builds(m.RefusalDelta, text=ANY_TEXT),
    st.builds(m.ToolCallDelta, id=ANY_TEXT, name=ANY_TEXT, arguments_json=ANY_TEXT),
    st.builds(m.PartDelta, part=st.builds(m.TextPart, text=ANY_TEXT)),
)


@settings(deadline=None, max_examples=60)
@given(DELTAS)
def test_whatever_a_provider_says_can_be_sent(delta):
    event = wire.delta_event(0, delta)
    assert chat_pb2.StreamResponse.FromString(event.SerializeToString()) == event
