"""Whatever conversation the API accepts: Mistral's own rules take what the kind makes of it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_common.protocol.instruct.messages import UATS
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
from mistral_common.tokens.tokenizers.base import TokenizerVersion

from llmproxy_grpc.messages import ChatRequest, Message, Role, TextPart, ToolCallPart, ToolResultPart
from llmproxy_grpc.providers.chat_completions.role_order import with_roles_in_order
from llmproxy_grpc.providers.mistral import QUIRKS
from llmproxy_grpc.providers.provider import Adapted
from tests.providers.conversations import ask
from tests.providers.kinds.mistral import KIND
from tests.unit.providers.chat_completions.encoding import body

VERSIONS = (TokenizerVersion.v7, TokenizerVersion.v11, TokenizerVersion.v13, TokenizerVersion.v15)


def said(role: Role, *texts: str) -> Message:
    return Message(role, tuple(TextPart(text=text) for text in texts or (role.name,)))


LATER = said(Role.DEVELOPER, "Be brief.")
SYSTEM, USER, ANSWER = (said(role) for role in (Role.SYSTEM, Role.USER, Role.ASSISTANT))


def call(*ids: str, text: str = "") -> Message:
    calls = tuple(ToolCallPart(id=each, name="f", arguments_json="{}") for each in ids)
    return Message(Role.ASSISTANT, (*((TextPart(text=text),) if text else ()), *calls))


def result(*ids: str) -> Message:
    return Message(Role.TOOL, tuple(ToolResultPart(tool_call_id=each, content=(TextPart(text="7"),)) for each in ids))


def adapted(*messages: Message, begun: bool = False) -> Adapted:
    return with_roles_in_order(Adapted(ask(messages=messages, begun=begun)))


def sent(request: ChatRequest) -> list[Any]:
    return body(request, QUIRKS)["messages"]


def check(messages: list[Any]) -> None:
    """Raises as Mistral would refuse."""
    request: ChatCompletionRequest[UATS] = ChatCompletionRequest.from_openai(
        json.loads(json.dumps(messages)), model="mistral-large"
    )
    for version in VERSIONS:
        get_validator(version, ValidationMode.serving).validate_request(request)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Any that the rules of the API allow: results answer calls that wait, whatever stands between."""
    messages: list[Message] = []
    waiting: list[str] = []
    for number in range(draw(st.integers(1, 9))):
        role = draw(st.sampled_from([Role.SYSTEM, Role.DEVELOPER, Role.USER, Role.ASSISTANT, Role.TOOL]))
        if role is Role.TOOL:
            answered = draw(st.permutations(waiting))[: draw(st.integers(1, 2))]
            waiting = [each for each in waiting if each not in answered]
            messages += [result(*answered)] if answered else []
        elif role is Role.ASSISTANT:
            calls = [f"{number}-{each}" for each in range(draw(st.integers(0, 2)))]
            waiting += calls
            messages.append(call(*calls, text=draw(st.sampled_from(["", f"says {number}"]))))
        else:
            messages.append(said(role, f"{role.name} {number}"))
    return messages


@settings(max_examples=400, deadline=None)
@given(conversations())
def test_mistral_takes_every_conversation_that_we_do_not_refuse_by_a_path(messages):
    given_back = adapted(*messages)
    spoken = sent(given_back.request)
    if spoken:
        check(spoken)
    kept, asked = (_texts(each) for each in (given_back.request.messages, messages))
    if not given_back.unsupported:
        assert sorted(filter(None, kept)) == sorted(filter(None, asked)), "nothing is lost without a word"


def _texts(messages: Any) -> list[str]:
    parts = [part for message in messages for part in message.parts]
    return [part.text if isinstance(part, TextPart) else getattr(part, "id", "") or part.tool_call_id for part in parts]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ((SYSTEM, USER, SYSTEM, ANSWER, USER), (SYSTEM, USER, SYSTEM, ANSWER, USER)),
        ((USER, ANSWER, SYSTEM, USER), (USER, SYSTEM, ANSWER, USER)),
        ((USER, call("a"), SYSTEM, result("a"), SYSTEM), (USER, SYSTEM, SYSTEM, call("a"), result("a"))),
        ((USER, call("a"), USER, result("a")), (USER, call("a"), result("a"), USER)),
        ((USER, call("a"), call("b"), result("a", "b")), (USER, call("a", "b"), result("a", "b"))),
        ((USER, ANSWER, call("a"), result("a")), (USER, ANSWER, call("a"), result("a"))),
        (
            (USER, call("a"), SYSTEM, LATER, ANSWER, result("a")),
            (USER, SYSTEM, LATER, Message(Role.ASSISTANT, call("a").parts + ANSWER.parts), result("a")),
        ),
        ((call("a"), result("a")), (said(Role.USER, ""), call("a"), result("a"))),
        ((USER, Message(Role.ASSISTANT, ()), USER), (USER, USER)),
    ],
)
def test_each_role_comes_to_its_place(asked, wanted):
    rearranged = adapted(*asked)
    assert rearranged.request.messages == wanted
    assert not rearranged.unsupported


def test_instructions_behind_the_models_last_words_are_the_users_and_the_caller_is_told():
    rearranged = adapted(USER, ANSWER, SYSTEM, LATER)
    assert rearranged.request.messages == (USER, ANSWER, said(Role.USER, "SYSTEM"), said(Role.USER, "Be brief."))
    assert [change.field for change in rearranged.changes] == ["messages[2].role", "messages[3].role"]


@pytest.mark.parametrize(
    ("asked", "paths", "left"),
    [
        (
            (USER, call("a", text="Wait"), USER),
            ["messages[1].parts[1].tool_call"],
            (USER, said(Role.ASSISTANT, "Wait"), USER),
        ),
        (
            (USER, call("a", "b"), result("a"), ANSWER, result("b"), USER),
            ["messages[1].parts[1].tool_call", "messages[4].parts[0].tool_result"],
            (USER, call("a"), result("a"), ANSWER, USER),
        ),
        (
            (USER, call("a"), USER, ANSWER, result("a"), USER),
            ["messages[1].parts[0].tool_call", "messages[4].parts[0].tool_result"],
            (USER, USER, ANSWER, USER),
        ),
        ((USER, ANSWER), ["messages[1].role"], (USER,)),
        ((USER, call("a")), ["messages[1].parts[0].tool_call"], (USER,)),
    ],
)
def test_what_has_no_place_is_named(asked, paths, left):
    rearranged = adapted(*asked)
    assert sorted(each.field for each in rearranged.unsupported) == paths
    assert rearranged.request.messages == left


def test_the_beginning_of_an_answer_stays_the_last_message():
    assert adapted(USER, ANSWER, begun=True).request.messages == (USER, ANSWER)
    assert sent(adapted(USER, ANSWER, begun=True).request)[-1]["prefix"] is True


async def test_the_kind_asks_in_that_order(upstream, http):
    provider = await KIND.provider(upstream, http)
    asked = provider.adapt(ask(messages=(USER, ANSWER, SYSTEM, USER)), "m")
    assert asked.request.messages == (USER, SYSTEM, ANSWER, USER)
