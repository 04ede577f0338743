"""Arguments as text and as an object: to the byte where that is possible, and never lost."""

import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from llmproxy_grpc.providers.extent import MOST_HELD, Extent
from llmproxy_grpc.providers.tool_arguments import GrowingObject, as_object, as_text


@pytest.mark.parametrize("text", ['{"n": 1.0,  "m": 9007199254740993}', "{}", '{"a":{"b":[]}}'])
def test_an_object_passes_to_the_byte_both_ways(text):
    assert bytes(as_object(text)) == text.encode()
    assert as_text(Raw(text.encode())) == text


@pytest.mark.parametrize("text", ["", " \n"])
def test_no_arguments_are_an_empty_object(text):
    assert bytes(as_object(text)) == b"{}"


@pytest.mark.parametrize("text", ["no json", "[1]", "1", '"x"', "null", '{"a":', "NaN", '{"a": 1} {"b": 2}'])
def test_text_that_is_no_object_is_one_entry_of_an_object(text):
    assert json.loads(bytes(as_object(text))) == {"INVALID_JSON": text}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "{}"),
        (Raw(b"null"), "{}"),
        ("{", "{"),
        (Raw(b'"{\\"a\\": 1.0"'), '{"a": 1.0'),
        ({"n": 9007199254740993}, '{"n":9007199254740993}'),
        ({"half": "a\ud83e", "whole": "\U0001f99c"}, '{"half":"a\ufffd","whole":"\U0001f99c"}'),
    ],
)
def test_values_become_text_whatever_they_are(value, text):
    assert as_text(value) == text


# Arguments that come in pieces.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('a"\\{}[] \n\u00e9')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('a"\\{}')), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(st.sampled_from('a"\\{}')), JSON, max_size=3).map(json.dumps)
TEXTS = st.lists(OBJECTS | st.text(st.sampled_from('a"\\{}[]:, \n\u00a0'), max_size=12), max_size=3).map("".join)


@given(OBJECTS | TEXTS, st.data())
def test_pieces_are_an_object_exactly_where_all_of_them_together_are_one(text, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    growing, so_far = GrowingObject(Extent()), ""
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        growing.add(text[start:end])
        so_far += text[start:end]
        if data.draw(st.booleans()):
            assert growing.is_whole() is is_object(so_far)
    assert growing.is_whole() is growing.is_whole() is is_object(text)


def is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except ValueError:
        return False


@pytest.mark.parametrize(
    ("first", "piece"),
    [('{"a":"' + "x" * 8_000_000, "}"), (" " * 8_000_000, " "), ("{}" * 4_000_000, "{}"), ("{", "}{"), ('{"', '"')],
)
def test_asking_after_each_of_many_pieces_takes_linear_time(first, piece):
    growing = GrowingObject(Extent())
    growing.add(first)
    started = time.process_time()
    for _ in range(4000):
        growing.add(piece)
        assert not growing.is_whole()
    assert time.process_time() - started < 2


def test_of_arguments_that_no_model_writes_nothing_is_kept():
    growing = GrowingObject(Extent())
    for piece in ("{", " " * MOST_HELD, "}"):
        growing.add(piece)
    assert not growing.is_whole()
