"""What a conversation says where texts without a word and thinking that led to nothing are not sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import Message, OpaquePart, ReasoningPart, RefusalPart, Role, TextPart
from llmproxy_grpc.providers.saying import has_words, says_something, without_thoughts_of_nothing

WORD, BLANK, THOUGHT = TextPart(text="x"), TextPart(text=" \n"), ReasoningPart(text="Hm.")
ASKED, RULES = Message(Role.USER, (WORD,)), Message(Role.SYSTEM, (WORD,))


def said(*parts: TextPart | ReasoningPart) -> Message:
    return Message(Role.ASSISTANT, parts)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (WORD, True),
        (BLANK, False),
        (RefusalPart(text="No."), True),
        (RefusalPart(text=""), False),
        (THOUGHT, False),
        (OpaquePart(provider_kind="anthropic", type="t", value={}), True),
    ],
)
def test_what_says_something_by_itself(part, says):
    assert says_something(part) is says
    assert has_words(Message(Role.ASSISTANT, (BLANK, part))) is says


@pytest.mark.parametrize(
    ("messages", "kept"),
    [
        ((ASKED, said(THOUGHT)), (ASKED, said())),
        ((ASKED, said(THOUGHT), ASKED), (ASKED, said(), ASKED)),
        ((said(THOUGHT, WORD, THOUGHT, BLANK), ASKED), (said(THOUGHT, WORD), ASKED)),
        # Thinking in one message leads to what the next one says, whatever stands between that is nobody's turn.
        ((said(THOUGHT), said(THOUGHT), RULES, said(WORD)), (said(THOUGHT), said(THOUGHT), RULES, said(WORD))),
        ((said(THOUGHT), Message(Role.USER, (BLANK,)), said(WORD)),) * 2,
        ((said(THOUGHT), ASKED, said(WORD), said(THOUGHT)), (said(), ASKED, said(WORD), said())),
    ],
)
def test_thinking_that_leads_to_no_word_of_its_turn_is_left_out(messages, kept):
    assert tuple(without_thoughts_of_nothing(messages)) == kept


@given(
    st.lists(
        st.builds(
            lambda role, parts: Message(role, tuple(parts)),
            st.sampled_from([Role.USER, Role.ASSISTANT, Role.SYSTEM]),
            st.lists(st.sampled_from([WORD, BLANK, THOUGHT]), max_size=3),
        ),
        max_size=6,
    )
)
def test_nothing_that_says_something_is_lost(messages):
    kept = without_thoughts_of_nothing(messages)
    assert [message.role for message in kept] == [message.role for message in messages]
    assert [tuple(filter(says_something, message.parts)) for message in kept] == [
        tuple(filter(says_something, message.parts)) for message in messages
    ]
    assert without_thoughts_of_nothing(kept) == kept
