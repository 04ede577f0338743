"""Conversations that stay: with whom, and who moves when targets come and go."""

import subprocess
import sys
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedRequest,
    MediaKind,
    MediaPart,
    Message,
    Role,
    TextPart,
)
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.stickiness import by_lot, conversation_of

TARGETS = tuple(Target(name, "m") for name in "abcde")
KEYS = [Random(number).randbytes(16) for number in range(10_000)]


def said(*turns, conversation_id=""):
    messages = tuple(Message(role, (TextPart(text=text),)) for role, text in turns)
    return conversation_of(ChatRequest("model", messages, conversation_id=conversation_id))


SYSTEM, HELLO = (Role.SYSTEM, "Be kind."), (Role.USER, "Hello")


# What a conversation is known by.


def test_later_turns_belong_to_the_same_conversation():
    assert said(SYSTEM, HELLO) == said(SYSTEM, HELLO, (Role.ASSISTANT, "Hi!"), (Role.USER, "And now?"))


def test_another_beginning_is_another_conversation():
    keys = {
        said(SYSTEM, HELLO),
        said(HELLO),
        said((Role.SYSTEM, "Be rude."), HELLO),
        said(SYSTEM, (Role.USER, "Bye")),
        said((Role.SYSTEM, "Be kind.Hello")),
        said((Role.USER, "Be kind."), (Role.USER, "Hello")),
    }
    assert len(keys) == 6


def test_the_id_alone_counts_where_there_is_one():
    assert said(HELLO, conversation_id="x") == said(SYSTEM, conversation_id="x") != said(HELLO, conversation_id="y")


def test_an_id_is_not_mistaken_for_a_text():
    assert said((Role.USER, "x")) != said((Role.USER, "y"), conversation_id="x")


def test_pictures_count_wherever_they_are():
    def seen(**media):
        return conversation_of(ChatRequest("m", (Message(Role.USER, (MediaPart(kind=MediaKind.IMAGE, **media),)),)))

    assert len({seen(data=b"1"), seen(data=b"2"), seen(uri="https://a/1"), seen(file_id="1")}) == 4


@pytest.mark.parametrize("text", ["", "\ud800", "\0", "x" * 5_000_000])
def test_any_text_begins_a_conversation(text):
    assert len(said((Role.USER, text))) == 16


def test_no_messages_are_a_conversation_as_well():
    assert said() == said()


def test_vectors_belong_to_no_conversation():
    assert conversation_of(EmbedRequest("m", (TextPart(text="x"),))) == b""


# Who serves it.


@given(key=st.binary(min_size=1, max_size=64), seed=st.integers(0, 1000))
def test_the_order_does_not_depend_on_how_the_targets_are_listed(key, seed):
    shuffled = Random(seed).sample(TARGETS, len(TARGETS))
    assert by_lot(shuffled, {}, key) == by_lot(TARGETS, {}, key)


@given(key=st.binary(min_size=1, max_size=64), gone=st.sets(st.sampled_from(TARGETS), max_size=4))
def test_without_some_targets_the_order_of_the_others_stays(key, gone):
    left = [target for target in TARGETS if target not in gone]
    assert by_lot(left, {}, key) == [target for target in by_lot(TARGETS, {}, key) if target not in gone]


def homes(targets, weights=None):
    return [by_lot(targets, weights or {}, key)[0] for key in KEYS]


def test_each_target_has_its_share_of_the_conversations():
    weights = {TARGETS[0]: 5, TARGETS[1]: 2}
    found = Counter(homes(TARGETS, weights))
    for target in TARGETS:
        assert found[target] / len(KEYS) == pytest.approx(weights.get(target, 1) / 10, abs=0.02)


def test_a_new_target_takes_its_share_and_nobody_else_moves():
    before, after = homes(TARGETS[:4]), homes(TARGETS)
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} == {TARGETS[4]}
    assert len(moved) / len(KEYS) == pytest.approx(0.2, abs=0.02)


def test_another_process_gives_the_same_order():
    code = (
        "from llmproxy_grpc.routing.catalog import Target;from llmproxy_grpc.routing.stickiness import by_lot;"
        "print([t.provider for t in by_lot([Target(n, 'm') for n in 'abcde'], {}, b'key')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str([target.provider for target in by_lot(TARGETS, {}, b"key")])
