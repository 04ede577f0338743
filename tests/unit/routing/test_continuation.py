"""What can be said on where a stream broke off, and how the rest is joined to it."""

import pytest
from msgspec.structs import replace

from llmproxy_grpc.messages import (
    CandidateFinish,
    ChatRequest,
    FinishReason,
    GenerationConfig,
    JsonObjectFormat,
    Message,
    ReasoningConfig,
    ReasoningDelta,
    ReasoningEffort,
    RefusalDelta,
    Role,
    TextDelta,
    TextPart,
    ToolCallDelta,
    UpstreamEnd,
)
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.routing.continuation import CONTINUED, Spoken

ASKED = ChatRequest("m", (Message(Role.USER, (TextPart("Hi"),)),))


def spoken(*deltas, request=ASKED):
    warned = []
    it = Spoken(request, warned.append)
    for delta in deltas:
        assert it.take([delta]) == [delta]
    return it, warned


def text(words: str, **fields) -> TextDelta:
    return TextDelta(text=words, **fields)


def test_the_rest_is_asked_with_what_was_said_as_the_beginning_of_the_answer():
    it, _ = spoken(text("Once "), text("upon"))
    rest = it.rest()
    assert rest.messages == (*ASKED.messages, Message(Role.ASSISTANT, (TextPart("Once upon"),)))
    assert rest.begun
    assert it.resuming


@pytest.mark.parametrize(
    "delta",
    [
        ReasoningDelta(text="Hm."),
        ToolCallDelta(part_index=1, id="c", name="f"),
        RefusalDelta(text="No."),
        text("b", candidate_index=1),
        text("b", part_index=1),
        CandidateFinish(0, FinishReason.STOP),
    ],
)
def test_nothing_but_plain_text_is_continued(delta):
    it, _ = spoken(text("a"), delta)
    assert it.rest() is None


@pytest.mark.parametrize(
    "generation",
    [
        GenerationConfig(candidate_count=2),
        GenerationConfig(response_format=JsonObjectFormat()),
        GenerationConfig(reasoning=ReasoningConfig(effort=ReasoningEffort.LOW)),
        GenerationConfig(reasoning=ReasoningConfig(budget_tokens=1024)),
        GenerationConfig(max_output_tokens=2),
    ],
)
def test_nor_what_was_asked_in_a_form_that_cannot_begin_anew(generation):
    it, _ = spoken(text("eight ch"), request=replace(ASKED, generation=generation))
    assert it.rest() is None


def test_nor_a_beginning_that_is_the_callers_own_or_nothing_but_space():
    begun = replace(ASKED, messages=(*ASKED.messages, Message(Role.ASSISTANT, (TextPart("Once"),))))
    assert spoken(text(" upon"), request=begun)[0].rest() is None
    assert spoken(text(" \n"))[0].rest() is None
    assert spoken()[0].rest() is None


def test_the_limit_of_the_output_holds_for_both_together():
    it, _ = spoken(text("x" * 40), request=replace(ASKED, generation=GenerationConfig(max_output_tokens=100)))
    assert it.rest().generation.max_output_tokens == 90


def test_the_warning_stands_before_the_rest_once():
    it, warned = spoken(text("Once"))
    it.rest()
    assert it.take([text(" upon")]) == [CONTINUED, text(" upon")]
    assert it.take([text(" a time"), UpstreamEnd()]) == [text(" a time"), UpstreamEnd()]
    assert warned == [CONTINUED]
    assert not it.resuming


@pytest.mark.parametrize(
    ("said", "rest", "joined"),
    [
        ("Once ", [" upon"], "Once upon"),
        ("Once ", ["upon"], "Once upon"),
        ("Once\n\n", ["\n", "\n", "upon"], "Once\n\nupon"),
        ("Once\n\n", ["\n"], "Once\n\n"),
        ("Once ", ["  upon"], "Once  upon"),
        ("Once", [" upon"], "Once upon"),
        ("Once ", ["\nupon"], "Once \nupon"),
    ],
)
def test_space_that_was_said_is_not_said_twice(said, rest, joined):
    it, _ = spoken(text(said))
    assert it.rest().messages[-1].parts[0].text == said.rstrip()
    events = [event for piece in rest for event in it.take([text(piece)])]
    assert said + "".join(event.text for event in events if isinstance(event, TextDelta)) == joined


def test_thinking_of_the_rest_is_left_out_and_its_parts_go_on_with_ours():
    it, _ = spoken(text("Once"))
    it.rest()
    assert it.take([ReasoningDelta(text="Hm.")]) == []
    assert it.take([text(" upon", part_index=1)]) == [CONTINUED, text(" upon")]
    call = ToolCallDelta(part_index=2, id="c", name="f")
    assert it.take([call]) == [replace(call, part_index=1)]
    assert it.rest() is None


def test_a_call_right_away_is_a_part_of_its_own():
    it, _ = spoken(text("Once"))
    it.rest()
    call = ToolCallDelta(id="c", name="f")
    assert it.take([call]) == [CONTINUED, replace(call, part_index=1)]


def test_a_rest_that_is_empty_is_announced_as_well():
    it, _ = spoken(text("Once"))
    it.rest()
    end = [CandidateFinish(0, FinishReason.STOP), UpstreamEnd()]
    assert it.take(end) == [CONTINUED, *end]


def test_a_rest_that_breaks_off_is_continued_with_all_that_was_said():
    it, warned = spoken(text("Once "))
    it.rest()
    it.take([text(" upon")])
    assert it.rest().messages[-1].parts[0].text == "Once upon"
    it.take([text(" a time")])
    assert len(warned) == 2


@pytest.mark.parametrize(
    ("rest", "joined"),
    [
        (["Once upon a time"], "Once upon a time"),
        (["Once", " up", "on a", " time"], "Once upon a time"),
        (["Once upon", " ", "a time"], "Once upon a time"),
        (["Once", " again"], "Once upon Once again"),
        ([" a time"], "Once upon a time"),
        (["Once upon Once upon"], "Once upon Once upon"),
    ],
)
def test_a_beginning_that_is_repeated_is_said_once(rest, joined):
    it, _ = spoken(text("Once upon "))
    it.rest()
    it.expect(Features(names=("x",), prefill=True, prefill_echoed=True))
    events = [event for piece in rest for event in it.take([text(piece)])]
    assert "Once upon " + "".join(event.text for event in events if isinstance(event, TextDelta)) == joined


def test_who_repeats_nothing_may_say_the_same_again():
    it, _ = spoken(text("ha"))
    it.rest()
    it.expect(Features(names=("x",), prefill=True))
    assert it.take([text("ha")]) == [CONTINUED, text("ha")]
