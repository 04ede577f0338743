"""Cache hints: four of them, on what can be marked, and none that outlives one before it."""

import json
from typing import Any

from llmproxy_grpc.messages import (
    CacheHint,
    ChatRequest,
    Message,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.anthropic_messages.features import adapt_messages
from llmproxy_grpc.providers.anthropic_messages.request import encode_request
from llmproxy_grpc.providers.thinking_tokens import signature_token
from tests.providers.conversations import ask

MODEL, LATER = "claude-haiku-4-5", "claude-opus-5"
HINT, MINUTES, HOUR = CacheHint(), CacheHint(300), CacheHint(3600)


def text(words: str, hint: CacheHint | None = None) -> TextPart:
    return TextPart(text=words, cache_hint=hint)


def marks(request: ChatRequest, model: str = MODEL) -> list[tuple[str, str | None]]:
    """The marked texts of the body in the order of the wire, with how long each is kept."""
    body = json.loads(encode_request(adapt_messages(request, model).request, model, stream=False))
    found: list[tuple[str, str | None]] = []

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            if "cache_control" in value:
                words = value.get("text") or value.get("tool_use_id")
                found.append((words, value["cache_control"].get("ttl")))
            walk(value.get("content"))

    walk(body.get("system", []))
    walk(body["messages"])
    return found


def named(request: ChatRequest, model: str = MODEL) -> tuple[list[str], list[str]]:
    adapted = adapt_messages(request, model)
    return [found.field for found in adapted.unsupported], [change.field for change in adapted.changes]


def test_a_hint_is_sent_with_its_time():
    parts = (text("a", HOUR), text("b", MINUTES), text("c", HINT))
    request = ask(messages=(Message(Role.USER, parts),))
    assert marks(request) == [("a", "1h"), ("b", "5m"), ("c", None)]
    assert named(request) == ([], [])


def test_of_more_than_four_hints_the_last_are_kept():
    parts = tuple(text(str(index), HINT) for index in range(6))
    request = ask(messages=(Message(Role.USER, parts[3:]), Message(Role.SYSTEM, parts[:3])))
    assert marks(request) == [("2", None), ("3", None), ("4", None), ("5", None)], "instructions stand first"
    assert named(request) == (["messages[1].parts[0].cache_hint", "messages[1].parts[1].cache_hint"], [])


def test_a_mark_by_the_api_itself_is_one_of_the_four():
    parts = tuple(text(str(index), HINT) for index in range(4))
    options = {"anthropic": {"cache_control": {"type": "ephemeral"}}}
    request = ask(messages=(Message(Role.USER, parts),), provider_options=options)
    assert marks(request) == [("1", None), ("2", None), ("3", None)]


def test_what_comes_before_something_kept_for_an_hour_is_kept_for_an_hour():
    parts = (text("a", HINT), text("b", HOUR), text("c", MINUTES), text("d", HOUR))
    request = ask(messages=(Message(Role.USER, parts),))
    assert marks(request) == [("a", "1h"), ("b", "1h"), ("c", "1h"), ("d", "1h")]
    assert named(request) == (
        [],
        ["messages[0].parts[0].cache_hint.ttl", "messages[0].parts[2].cache_hint.ttl"],
    )


def test_instructions_count_where_they_are_sent():
    request = ask(
        messages=(
            Message(Role.USER, (text("a", HINT),)),
            Message(Role.SYSTEM, (text("b", HOUR),)),
        )
    )
    assert marks(request) == [("b", "1h"), ("a", None)]
    assert named(request) == ([], [])
    assert marks(request, LATER) == [("a", "1h"), ("b", "1h")]
    assert named(request, LATER) == ([], ["messages[0].parts[0].cache_hint.ttl"])


def test_a_hint_within_a_result_is_the_results_own():
    call = ToolCallPart(id="c", name="f", arguments_json="{}")
    content = (text("1", HOUR), text("2", HINT), text("3"))
    request = ask(
        messages=(
            Message(Role.USER, (text("x"),)),
            Message(Role.ASSISTANT, (call,)),
            Message(Role.TOOL, (ToolResultPart(tool_call_id="c", content=content),)),
        )
    )
    assert marks(request) == [("c", None)]
    behind = ask(messages=(*request.messages, Message(Role.USER, tuple(text(str(n), HINT) for n in range(4)))))
    assert named(behind) == (["messages[2].parts[0].tool_result.content[1].cache_hint"], [])
    assert marks(behind) == [(str(n), None) for n in range(4)]


def test_what_cannot_be_marked_is_named():
    thought = ReasoningPart(text="Hm.", continuity_token=signature_token("s"), cache_hint=HINT)
    request = ask(
        messages=(
            Message(Role.USER, (text("x", HINT), text(" ", HINT))),
            Message(Role.ASSISTANT, (thought, text("y"))),
            *ask().messages,
        )
    )
    assert marks(request, LATER) == [("x", None)]
    assert named(request, LATER) == (["messages[0].parts[1].cache_hint", "messages[1].parts[0].cache_hint"], [])


def test_a_result_stands_before_what_the_user_said_before_it_and_so_does_its_hint():
    called = Message(Role.ASSISTANT, (ToolCallPart(id="a", name="f", arguments_json="{}"),))
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="a", cache_hint=HINT),))
    request = ask(messages=(Message(Role.USER, (text("x"),)), called, Message(Role.USER, (text("y", HOUR),)), result))
    assert marks(request) == [("a", "1h"), ("y", "1h")]
    assert named(request) == ([], ["messages[3].parts[0].cache_hint.ttl"])


def test_a_refusal_without_a_word_cannot_be_marked():
    said = Message(Role.ASSISTANT, (text("x"), RefusalPart(text=" ", cache_hint=HINT)))
    request = ask(messages=(*ask().messages, said, *ask().messages))
    assert named(request) == (["messages[1].parts[1].cache_hint"], [])


def test_instructions_behind_the_models_words_stand_behind_the_users_next_and_so_does_their_hint():
    said = [(Role.USER, text("x")), (Role.ASSISTANT, text("y")), (Role.SYSTEM, text("s", HOUR))]
    said.append((Role.USER, text("z", MINUTES)))
    request = ask(messages=tuple(Message(role, (part,)) for role, part in said))
    assert marks(request, LATER) == [("z", "1h"), ("s", "1h")]
    assert named(request, LATER) == ([], ["messages[3].parts[0].cache_hint.ttl"])


def test_what_was_left_out_or_says_nothing_parts_no_turn():
    unanswered = Message(Role.ASSISTANT, (ToolCallPart(id="b", name="f", arguments_json="{}"),))
    for between in (unanswered, Message(Role.ASSISTANT, (text(" \n"),))):
        # What the user says before and behind is one turn, and the instructions stand behind all of it.
        rules, more = Message(Role.SYSTEM, (text("rules", MINUTES),)), Message(Role.USER, (text("more", HOUR),))
        request = ask(messages=(*ask().messages, rules, between, more))
        assert marks(request, LATER) == [("more", "1h"), ("rules", "5m")]
        assert named(request, LATER)[1] == []


def test_instructions_that_no_turn_of_the_user_follows_stand_first():
    called = Message(Role.ASSISTANT, (text("a", HOUR), ToolCallPart(id="c", name="f", arguments_json="{}")))
    rules = Message(Role.SYSTEM, (text("rules", MINUTES),))
    behind = (Message(Role.ASSISTANT, (text("b"),)), Message(Role.USER, (text("c", MINUTES),)))
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="c"),))
    between = ask(messages=(*ask().messages, called, rules, *behind[:1], result, behind[1]))
    assert marks(between, LATER) == [("rules", "1h"), ("a", "1h"), ("c", "5m")]
    assert named(between, LATER)[1] == ["messages[2].parts[0].cache_hint.ttl"]
    waiting = ask(messages=(*ask().messages, called, rules, result))
    assert marks(waiting, LATER) == [("a", "1h"), ("rules", "5m")]
    assert named(waiting, LATER)[1] == []


def test_thinking_that_led_to_nothing_moves_no_instructions():
    thought = Message(Role.ASSISTANT, (ReasoningPart(text="Hm.", continuity_token=signature_token("sig")),))
    said = Message(Role.ASSISTANT, (text("a", HOUR),))
    rules, more = Message(Role.SYSTEM, (text("rules", MINUTES),)), Message(Role.USER, (text("more"),))
    request = ask(messages=(*ask().messages, said, rules, thought, more))
    assert marks(request, LATER) == [("a", "1h"), ("rules", "5m")]
    assert named(request, LATER)[1] == []
