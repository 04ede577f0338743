"""Hashes of conversations: equal for what is the same conversation, whichever way it was sent, and for nothing else."""

import pytest

from llmproxy_grpc._gen.v1 import content_pb2 as pb
from llmproxy_grpc.records.chain import HASH_BYTES, chain
from llmproxy_grpc.records.links import MOST_ANCESTORS, linked
from tests.fakes.records import an_entry


def said(role, *parts):
    return pb.Message(role=role, parts=[pb.ContentPart(text=part) if isinstance(part, str) else part for part in parts])


def user(*parts):
    return said(pb.ROLE_USER, *parts)


def assistant(*parts):
    return said(pb.ROLE_ASSISTANT, *parts)


def call(call_id="c1", arguments="{}"):
    return pb.ContentPart(tool_call=pb.ToolCall(id=call_id, name="f", arguments_json=arguments))


def test_a_turn_contains_the_record_that_it_continues():
    first = chain([user("Hi")], assistant("Hello"))
    second = chain([user("Hi"), assistant("Hello"), user("And?")], assistant("Well"))
    third = chain([user("Hi"), assistant("Hello"), user("And?"), assistant("Well"), user("So?")], None)
    assert second.ancestors == (first.full_hash,)
    assert third.ancestors == (first.full_hash, second.full_hash)
    assert (third.full_hash, third.dkey) == (None, None)
    assert len({first.full_hash, second.full_hash, first.input_hash, second.input_hash}) == 4


SAME = [
    (assistant("Hel", "lo"), assistant("Hello")),
    (assistant(pb.ContentPart(reasoning=pb.Reasoning(text="hm")), "Hello"), assistant("Hello")),
    (
        assistant(pb.ContentPart(text="Hello", continuity_token=b"x", citations=[pb.Citation(uri="u")])),
        assistant("Hello"),
    ),
    (assistant("x", call("one")), assistant("x", call("other"))),
    (said(pb.ROLE_DEVELOPER, "rule"), said(pb.ROLE_SYSTEM, "rule")),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_a_caller_may_change_when_it_sends_an_answer_back_changes_nothing(one, other):
    assert chain([user("Hi")], one).full_hash == chain([user("Hi")], other).full_hash


DIFFERENT = [
    (assistant("Hello"), assistant("hello")),
    (assistant("a", call()), assistant("a", call(arguments='{"a":1}'))),
    (assistant("a"), user("a")),
    (assistant("a"), assistant(pb.ContentPart(refusal="a"))),
    (user(pb.ContentPart(image=pb.Media(data=b"1"))), user(pb.ContentPart(image=pb.Media(data=b"2")))),
    (user(pb.ContentPart(image=pb.Media(uri="1"))), user(pb.ContentPart(audio=pb.Media(uri="1")))),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_words_are_another_conversation(one, other):
    assert chain([one], None).input_hash != chain([other], None).input_hash


def test_messages_do_not_run_into_each_other():
    assert chain([user("ab"), user("c")], None).input_hash != chain([user("a"), user("bc")], None).input_hash


def test_repeats_differ_in_white_space_and_case_alone():
    one = chain([user("How  are\n you?")], assistant("Fine"))
    other = chain([user("how are you?")], assistant("FINE"))
    assert one.dkey == other.dkey
    assert one.full_hash != other.full_hash
    assert chain([user("How are they?")], assistant("Fine")).dkey != one.dkey


def test_tools_and_media_are_seen_wherever_they_are():
    result = pb.ToolResult(tool_call_id="c1", content=[pb.ContentPart(image=pb.Media(data=b"1"))])
    plain = chain([user("a")], assistant("b"))
    assert (plain.has_tool_calls, plain.has_media) == (False, False)
    tools = chain(
        [user("a"), assistant(call()), said(pb.ROLE_TOOL, pb.ContentPart(tool_result=result))], assistant("b")
    )
    assert (tools.has_tool_calls, tools.has_media) == (True, True)
    assert chain([user("a")], assistant(call())).has_tool_calls


def test_bytes_that_are_no_text_are_hashed_all_the_same():
    picture = chain([user(pb.ContentPart(image=pb.Media(data=bytes(range(256)))))], assistant("b"))
    assert picture.dkey is not None
    opaque = pb.OpaquePart(provider_kind="p", type="t")
    opaque.value["é"] = "ü"
    assert chain([user(pb.ContentPart(opaque=opaque))], assistant("b")).dkey is not None


def test_of_a_long_conversation_the_last_turns_are_looked_for_the_very_last_first():
    turns = [bytes([number]) * HASH_BYTES for number in range(100)]
    asked = []

    def find(_tenant, hashes):
        asked.extend(hashes)
        return {each: (each, f"c{each[0]}") for each in hashes if each in (turns[40], turns[97], turns[98])}

    [entry] = linked([an_entry(ancestors=b"".join(turns))], find)
    assert (entry.record.parent_id, entry.record.conversation) == (turns[98], "c98")
    assert sorted(asked) == turns[-MOST_ANCESTORS:]
