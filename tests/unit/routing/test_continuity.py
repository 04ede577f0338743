"""Tokens come back to the target that made them, to the byte, and to no other."""

from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import (
    Candidate,
    CandidateFinish,
    FinishReason,
    MediaKind,
    MediaPart,
    Message,
    PartDelta,
    ProviderResponse,
    ReasoningDelta,
    ReasoningPart,
    Role,
    TextDelta,
    TextPart,
    ToolCallPart,
)
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.continuity import has_token, opened, sealed_events, sealed_response
from tests.providers.conversations import ask

HERE = Target("claude", "opus")
ELSEWHERE = (Target("claude", "haiku"), Target("claud", "e/opus"), Target("gemini", "opus"))
targets = st.builds(Target, st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True), st.text("ab/:.\0", max_size=6))


def answer(*parts):
    message = Message(Role.ASSISTANT, parts)
    return ProviderResponse((Candidate(0, message, FinishReason.STOP),))


def echoed(response):
    return ask(messages=(response.candidates[0].message,))


@given(st.binary(min_size=1), targets)
def test_a_token_comes_back_to_its_target_to_the_byte(token, target):
    sealed = sealed_response(answer(ReasoningPart(text="hm", continuity_token=token)), target)
    assert sealed.candidates[0].message.parts[0].continuity_token != token
    back = opened(echoed(sealed), target)
    assert back.stripped == ()
    assert back.request.messages[0].parts == (ReasoningPart(text="hm", continuity_token=token),)


@given(st.binary(min_size=1), targets, targets)
def test_a_token_comes_to_no_other_target(token, target, other):
    sealed = sealed_response(answer(TextPart(text="x", continuity_token=token)), target)
    back = opened(echoed(sealed), other)
    assert bool(back.stripped) == (target != other)
    assert back.request.messages[0].parts[0].continuity_token == (token if target == other else b"")


def test_a_stranger_gets_the_text_but_neither_tokens_nor_hidden_thinking():
    sealed = sealed_response(
        answer(
            ReasoningPart(redacted=True, continuity_token=b"secret"),
            ReasoningPart(text="hm", continuity_token=b"signature"),
            ToolCallPart(id="c", name="f", arguments_json="{}", continuity_token=b"thought"),
            TextPart(text="x"),
        ),
        HERE,
    )
    for target in ELSEWHERE:
        back = opened(echoed(sealed), target)
        assert back.request.messages[0].parts == (
            ReasoningPart(text="hm"),
            ToolCallPart(id="c", name="f", arguments_json="{}"),
            TextPart(text="x"),
        )
        assert back.stripped == tuple(f"messages[0].parts[{index}].continuity_token" for index in range(3))
        (warning,) = back.warnings()
        assert (warning.code, warning.field) == ("CONTINUITY_DROPPED", back.stripped[0])
        assert "and 2 more" in warning.message


def test_a_token_that_nobody_here_sealed_is_nobodys():
    request = ask(messages=(Message(Role.ASSISTANT, (TextPart(text="x", continuity_token=b"raw"),)),))
    back = opened(request, HERE)
    assert back.request.messages[0].parts == (TextPart(text="x"),)
    (warning,) = back.warnings()
    assert "more" not in warning.message


def test_without_tokens_nothing_is_touched():
    request, response = ask("x"), answer(TextPart(text="x"))
    assert opened(request, HERE).request is request
    assert list(opened(request, HERE).warnings()) == []
    assert sealed_response(response, HERE) is response


def test_the_tokens_of_a_stream_are_sealed_like_those_of_an_answer():
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png", continuity_token=b"p")
    events = [
        ReasoningDelta(text="", continuity_token=b"r"),
        TextDelta(text="x"),
        PartDelta(part_index=2, part=picture),
        CandidateFinish(0, FinishReason.STOP),
    ]
    assert [has_token(event) for event in events[:3]] == [True, False, True]
    thinking, text, part, finish = sealed_events(events, HERE)
    whole = sealed_response(answer(ReasoningPart(continuity_token=b"r"), picture), HERE).candidates[0].message.parts
    assert thinking.continuity_token == whole[0].continuity_token
    assert part.part == whole[1]
    assert (text, finish) == (events[1], events[3])
