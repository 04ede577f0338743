"""Arguments as text and as an object: to the byte where that is possible, and never lost."""

import json

import pytest
from msgspec import Raw

from llmproxy_grpc.providers.tool_arguments import as_object, as_text


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
