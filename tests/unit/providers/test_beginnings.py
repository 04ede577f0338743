"""How conversations begin where the user has to speak first."""

import pytest

from llmproxy_grpc.messages import (
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.beginnings import begun_by_the_user, calls_a_tool, with_words_of_the_user
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.provider import Adapted
from tests.providers.conversations import ask

BARE = Features(names=("bare",))
RULES = Message(Role.SYSTEM, (TextPart(text="Be brief."),))
HI = Message(Role.USER, (TextPart(text="Hi."),))
GREETING = Message(Role.ASSISTANT, (TextPart(text="What can I do for you?"),))
NOTHING = Message(Role.ASSISTANT, ())


def call(call_id: str) -> Message:
    return Message(Role.ASSISTANT, (ToolCallPart(id=call_id, name="f", arguments_json="{}"),))


def results(*call_ids: str, before: tuple[Part, ...] = ()) -> Message:
    return Message(Role.TOOL, (*before, *(ToolResultPart(tool_call_id=call_id) for call_id in call_ids)))


def adapted_to(*messages: Message) -> Adapted:
    return adapt(ask(messages=messages), BARE)


def fields(adapted: Adapted) -> list[str]:
    return [found.field for found in adapted.unsupported]


@pytest.mark.parametrize("messages", [(HI,), (RULES, HI), (HI, GREETING, HI), (RULES, HI, call("1"), results("1"))])
def test_a_conversation_that_the_user_begins_stays_as_it_is(messages):
    adapted = adapted_to(*messages)
    assert begun_by_the_user(adapted, lambda _message: True) is adapted
    assert with_words_of_the_user(adapted) is adapted


@pytest.mark.parametrize(
    ("messages", "named", "rest"),
    [
        ((GREETING, HI), ["messages[0].role"], (NOTHING, HI)),
        ((RULES, GREETING, HI, GREETING), ["messages[1].role"], (RULES, NOTHING, HI, GREETING)),
        (
            (call("1"), results("1"), GREETING, HI),
            ["messages[0].role", "messages[1].parts[0].tool_result", "messages[2].role"],
            (NOTHING, results(), NOTHING, HI),
        ),
        # A result may come behind the user's words, and an id again.
        (
            (call("1"), HI, results("1"), call("1"), results("1")),
            ["messages[0].role", "messages[2].parts[0].tool_result"],
            (NOTHING, HI, results(), call("1"), results("1")),
        ),
        (
            (Message(Role.USER, (TextPart(text=" \n"),)), GREETING, HI),
            ["messages[1].role"],
            (Message(Role.USER, (TextPart(text=" \n"),)), NOTHING, HI),
        ),
    ],
)
def test_what_the_model_says_before_the_user_is_named_and_gone(messages, named, rest):
    adapted = begun_by_the_user(adapted_to(*messages), lambda _message: True)
    assert fields(adapted) == named
    assert adapted.request.messages == rest
    assert not any(found.essential for found in adapted.unsupported)


def test_thinking_alone_is_no_word_of_the_model():
    thought = Message(Role.ASSISTANT, (ReasoningPart(text="Hm."),))
    adapted = adapted_to(RULES, thought)
    assert begun_by_the_user(adapted, lambda _message: True) is adapted
    assert with_words_of_the_user(adapted).request.messages == (Message(Role.USER, RULES.parts), thought)


def test_calls_alone_may_be_what_is_refused():
    adapted = begun_by_the_user(
        adapted_to(GREETING, call("1"), results("1"), HI, call("2"), results("2")), calls_a_tool
    )
    assert fields(adapted) == ["messages[1].role", "messages[2].parts[0].tool_result"]
    assert adapted.request.messages[:3] == (GREETING, NOTHING, results())
    greeted = adapted_to(GREETING, HI)
    assert begun_by_the_user(greeted, calls_a_tool).unsupported == ()


def test_results_have_the_callers_numbers_and_so_has_what_is_left_of_them():
    foreign = OpaquePart(provider_kind="another", type="t", value={})
    calls = Message(Role.ASSISTANT, (*call("1").parts, *call("2").parts))
    adapted = begun_by_the_user(adapted_to(calls, HI, results("1", "2", before=(foreign,))), lambda _message: True)
    assert fields(adapted)[1:] == [
        "messages[0].role",
        "messages[2].parts[1].tool_result",
        "messages[2].parts[2].tool_result",
    ]
    assert adapted.numbers["messages[2].parts"] == ()


def test_instructions_that_are_left_alone_are_the_users_words():
    instructed = begun_by_the_user(adapted_to(RULES, GREETING), lambda _message: True)
    assert fields(instructed) == ["messages[1].role"]
    assert with_words_of_the_user(instructed).request.messages == (Message(Role.USER, RULES.parts), NOTHING)


@pytest.mark.parametrize("role", [Role.SYSTEM, Role.DEVELOPER])
def test_the_user_says_the_last_of_instructions_that_stand_alone(role):
    empty = Message(role, (TextPart(text=""),))
    adapted = with_words_of_the_user(adapted_to(RULES, Message(role, (TextPart(text="Write a poem."),)), empty))
    assert [(change.field, change.dropped) for change in adapted.changes] == [("messages[1].role", False)]
    assert adapted.request.messages == (RULES, Message(Role.USER, (TextPart(text="Write a poem."),)), empty)
    assert adapted.unsupported == ()


def test_a_picture_is_something_that_the_user_says():
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    adapted = Adapted(ask(messages=(RULES, Message(Role.USER, (picture,)))))
    assert with_words_of_the_user(adapted) is adapted


def test_instructions_without_a_word_stay_as_they_are():
    adapted = adapted_to(Message(Role.SYSTEM, (TextPart(text=""),)))
    assert with_words_of_the_user(adapted) is adapted
