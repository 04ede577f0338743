import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.providers.jsonio import SurrogateJoiner, decode, is_text, joined, joined_deeply


class Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    index: int = 0
    extra: dict[str, Any] = {}


DELTA = msgspec.json.Decoder(Delta)
ANYTHING = msgspec.json.Decoder()

# Any text, halves of characters included.
TEXT = st.text(st.characters(codec=None, categories=None) | st.sampled_from("\ud83d\ude00"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


@given(JSON)
def test_what_is_json_is_decoded_as_it_is(value):
    text = json.dumps(value)
    assert decode(text.encode(), ANYTHING) == json.loads(text)


@given(st.text(st.sampled_from("a\u00e9\U0001f600\ud83d\ude00")))
def test_lone_surrogates_are_kept(text):
    data = json.dumps({"content": text})
    assert decode(data.encode(), DELTA) == Delta(json.loads(data)["content"])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b'{"content":"a',
        b"{} x",
        b"<html>",
        b"[1]",
        b"null",
        b'{"content":1}',
        b'{"index":"1"}',
        b'{"index":1.5}',
        b'{"content":NaN}',
        b'{"extra":{"a":Infinity}}',
        b'{"extra":{"a":-Infinity}}',
        b'{"extra":{"a":1e400}}',
        b'{"index":' + b"9" * 5000 + b"}",
        b'{"content":"\xff"}',
        b'{"content":"\n"}',
        b'{"extra":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b"\xef\xbb\xbf",
        b"\xff\xfe{\x00}\x00",
        # The same with a lone surrogate, which takes another way.
        b'{"extra":{"a":"\\ud83d","b":NaN}}',
        b'{"extra":{"a":"\\ud83d","b":Infinity}}',
        b'{"extra":{"a":"\\uD83D","b":1e400}}',
        b'{"extra":{"a":"\\ud83d","b":' + b"9" * 5000 + b"}}",
        b'{"extra":{"a":"\\ud83d","b":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"extra":{"a":"\\ud83d","b":"\xff"}}',
        b'{"content":"\\ud83d',
        b'{"content":"\\ud83d"} x',
        b'{"content":"\\ud8"}',
        b'["\\ud83d"]',
        b'{"index":"\\ud83d"}',
    ],
)
def test_what_cannot_be_read_is_a_protocol_error_without_the_providers_text(data):
    with pytest.raises(UpstreamProtocolError) as caught:
        decode(data, DELTA)
    assert caught.value.message == "The provider's answer is not the JSON that its API promises."


@pytest.mark.parametrize("data", [b'\n\n {"index":1}\r\n', b'\xef\xbb\xbf{"index":1}', b'{"x":1,"index":0,"index":1}'])
def test_blank_lines_a_byte_order_mark_and_unknown_keys_do_no_harm(data):
    assert decode(data, DELTA) == Delta(index=1)


@pytest.mark.parametrize("data", [b'{"content":"\\ud83d","index":1}', b'{"content":"\\uD83D","index":1}'])
def test_a_lone_surrogate_spoils_nothing_else(data):
    assert decode(data, DELTA) == Delta("\ud83d", 1)


def test_numbers_beside_a_lone_surrogate_keep_their_value():
    assert decode(b'{"extra":{"a":"\\ude00","b":-1.5e3,"c":18446744073709551615}}', DELTA).extra == {
        "a": "\ude00",
        "b": -1500.0,
        "c": 2**64 - 1,
    }


def reference(text: str) -> str:
    """One character after the other."""
    said = ""
    while text:
        high, low = text[0], text[1:2]
        if "\ud800" <= high <= "\udbff" and "\udc00" <= low <= "\udfff":
            said += chr(0x10000 + (ord(high) - 0xD800) * 0x400 + ord(low) - 0xDC00)
            text = text[2:]
            continue
        said += "\ufffd" if "\ud800" <= high <= "\udfff" else high
        text = text[1:]
    return said


@given(st.lists(st.text(st.sampled_from("a\u00e9\uffff\U0001f600\ud83d\udbff\ude00\udc00"))))
def test_the_pieces_of_a_text_give_the_text_with_every_character_whole(pieces):
    joiner = SurrogateJoiner()
    said = [joiner.feed(piece) for piece in pieces] + [joiner.flush()]
    assert "".join(said) == reference("".join(pieces))
    assert all(is_text(text) for text in said)


@given(TEXT)
def test_joining_at_once_gives_the_same(text):
    assert joined(text) == reference(text)


def test_only_half_a_character_is_held_back():
    joiner = SurrogateJoiner()
    assert joiner.feed("Hi \ud83d") == "Hi "
    assert joiner.feed("") == ""
    assert joiner.feed("\ude00!") == "\U0001f600!"
    assert joiner.flush() == ""


def test_half_a_character_at_the_end_is_replaced_once():
    joiner = SurrogateJoiner()
    joiner.feed("\ud83d")
    assert joiner.flush() == "\ufffd"
    assert joiner.flush() == ""


def test_ordinary_text_passes_through_untouched():
    text = "\u00fcber " * 10
    assert SurrogateJoiner().feed(text) is text


@given(JSON)
def test_every_text_within_a_value_is_joined_and_all_else_stays(value):
    before = repr(value)
    assert repr(joined_deeply(value)) == repr(recursively_joined(value))
    assert repr(value) == before


def recursively_joined(value: Any) -> Any:
    if isinstance(value, str):
        return joined(value)
    if isinstance(value, dict):
        return {joined(name): recursively_joined(item) for name, item in value.items()}
    return [recursively_joined(item) for item in value] if isinstance(value, list) else value


def test_texts_are_joined_however_deep_they_are():
    deep = joined_deeply(json.loads('{"a":[' * 400 + r'"\ud800"' + "]}" * 400))
    assert msgspec.json.encode(deep) == b'{"a":[' * 400 + '"\ufffd"'.encode() + b"]}" * 400
