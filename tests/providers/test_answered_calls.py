"""Calls without a result, and results that come late: APIs that refuse them get none, and the caller hears of it."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings

from llmproxy_grpc.messages import ChatRequest, Message, OpaquePart, Role, TextPart, ToolCallPart
from llmproxy_grpc.providers.answered_calls import with_answered_calls, with_results_at_their_calls
from llmproxy_grpc.providers.chat_completions.quirks import OPENAI
from llmproxy_grpc.providers.provider import Adapted
from tests.fakes.faulty_upstream import Answer
from tests.providers.conversations import ask
from tests.providers.kinds import azure, openai
from tests.providers.test_mistral_order import ANSWER, SYSTEM, USER, call, conversations, result, said
from tests.unit.providers.chat_completions.encoding import body

ALL, THERE = "messages[1].parts[0].tool_call", "messages[4].parts[0].tool_result"
LATE = (USER, call("a"), USER, ANSWER, result("a"), USER)
NEVER = (USER, call("a"), USER)


LIBERAL = {"openai", "ollama", "cohere"}
"""Servers that nobody has described, and those that are not known to refuse."""


def fields(adapted: Adapted) -> list[str]:
    return [found.field for found in adapted.unsupported]


@pytest.mark.parametrize(("messages", "named"), [(NEVER, [ALL]), (LATE, [ALL, THERE])], ids=["never", "late"])
async def test_a_call_whose_result_does_not_come_in_time_is_named_where_it_would_be_refused(
    kind, provider, upstream, messages, named
):
    model = "claude-opus-4-5" if kind.name == "anthropic" else kind.model
    adapted = provider.adapt(ask(messages=messages), model)
    if kind.name in LIBERAL:
        assert adapted.request.messages == messages
        return
    assert fields(adapted) == ([] if kind.name == "responses" and messages is LATE else named)
    upstream.script(Answer.json(kind.answer("A")))
    await provider.chat(adapted.request, model)
    assert upstream.requests[-1].body.count(b'"f"') == (kind.name == "responses" and messages is LATE)


@pytest.mark.parametrize(("api", "named"), [("chat", [ALL, THERE]), ("responses", [])])
async def test_by_the_responses_api_a_result_may_come_whenever_it_likes(upstream, http, api, named):
    provider = await openai.KIND.provider(upstream, http, preset="openai", api=api)
    assert fields(provider.adapt(ask(messages=LATE), "gpt-5.1")) == named
    assert fields(provider.adapt(ask(messages=NEVER), "gpt-5.1")) == [ALL]


async def test_azure_is_as_openai(upstream, http):
    provider = await azure.KIND.provider(upstream, http)
    assert fields(provider.adapt(ask(messages=NEVER), "gpt-5.1")) == [ALL]


def spoken(*messages: Message) -> list[str]:
    """What goes to OpenAI: the roles, with the ids of calls and results."""
    adapted = with_results_at_their_calls(Adapted(ask(messages=messages)))
    assert not adapted.unsupported
    return [_spoken(message) for message in body(adapted.request, OPENAI)["messages"]]


def _spoken(message: dict[str, Any]) -> str:
    ids = [each["id"] for each in message.get("tool_calls", [])] or [message.get("tool_call_id", "")]
    return " ".join([message["role"], *filter(None, ids)])


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ((USER, call("a", "b"), result("b", "a"), USER), "user, assistant a b, tool b, tool a, user"),
        ((USER, call("a"), USER, result("a")), "user, assistant a, tool a, user"),
        ((USER, call("a"), SYSTEM, result("a")), "user, assistant a, tool a, system"),
        ((USER, call("a", "b"), result("a"), USER, result("b")), "user, assistant a b, tool a, tool b, user"),
        ((USER, call("a"), call("b"), result("b"), result("a")), "user, assistant a b, tool b, tool a"),
        ((USER, call("a"), ANSWER, result("a")), "user, assistant a, tool a"),
    ],
)
def test_results_come_at_once_behind_their_calls(messages, sent):
    assert spoken(*messages) == sent.split(", ")


def test_an_id_that_comes_again_is_that_of_its_latest_call():
    asked = ask(messages=(USER, call("a"), result("a"), call("a"), USER, result("a")))
    adapted = with_results_at_their_calls(Adapted(asked))
    assert adapted.request.messages == (USER, *(call("a"), result("a")) * 2, USER)


def test_what_is_in_order_stays_what_it_is():
    messages = (SYSTEM, USER, call("a", "b"), result("a"), result("b"), SYSTEM, call("c"), result("c"))
    adapted = Adapted(ask(messages=messages))
    assert with_results_at_their_calls(adapted) is adapted


def test_what_is_named_has_the_callers_numbers():
    block = OpaquePart(provider_kind="another", type="thing", value={})
    first = Message(Role.ASSISTANT, (block, *call("a", "b").parts))
    request: ChatRequest = ask(messages=(USER, Message(Role.ASSISTANT, first.parts[1:]), result("b")))
    adapted = with_answered_calls(Adapted(request, numbers={"messages[1].parts": (1, 2)}))
    assert fields(adapted) == ["messages[1].parts[1].tool_call"]
    assert adapted.request.messages[1].parts == call("b").parts
    assert adapted.path("messages[1].parts", 0) == "messages[1].parts[2]"


@settings(max_examples=300, deadline=None)
@given(conversations())
def test_whatever_is_sent_openai_takes(messages):
    adapted = with_results_at_their_calls(Adapted(ask(messages=tuple(messages))))
    waiting: set[str] = set()
    for message in body(adapted.request, OPENAI)["messages"]:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            waiting.remove(message["tool_call_id"])
        else:
            assert not waiting
            waiting = {each["id"] for each in message.get("tool_calls", [])}
    assert not waiting
    if not adapted.unsupported:
        assert sorted(_all(adapted.request.messages)) == sorted(_all(messages)), "nothing is lost without a word"


def _all(messages: Sequence[Message]) -> list[str]:
    parts = [part for message in messages for part in message.parts]
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    return texts + [part.id if isinstance(part, ToolCallPart) else repr(part) for part in parts if part not in texts]


def test_a_message_of_which_nothing_is_left_says_nothing():
    adapted = with_answered_calls(Adapted(ask(messages=(said(Role.USER, "x"), call("a")))))
    assert [len(message.parts) for message in adapted.request.messages] == [1, 0]


def test_a_message_that_was_left_out_is_no_word_of_the_model():
    adapted = Adapted(ask(messages=(USER, call("a"), USER, Message(Role.ASSISTANT, ()), result("a"))))
    assert with_answered_calls(adapted) is adapted
