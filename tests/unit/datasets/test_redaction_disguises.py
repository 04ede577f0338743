"""What values are written in: letters that nobody sees or that look alike, escapes, cells of CSV, quotes."""

import json

import pytest

from llmproxy_grpc.datasets.redaction import RedactionMode, Redactor

MASK = Redactor(RedactionMode.MASK)


def hidden(value):
    redacted = MASK.redact(json.dumps(value, ensure_ascii=False).encode())
    return json.loads(redacted.line), redacted.counts


INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u180e\u200b\u200e\u200f\u202a\u202c\u202e\u2061\u2066\u2069\u3164\ufe0f\ufeff\uffa0"
    "\U000e0041\U000e007f\U000e0100"
)


@pytest.mark.parametrize("letter", INVISIBLE, ids=ascii)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_no_invisible_letter_hides_anything(letter, depth):
    content = f"4111 11{letter}11 1111 1111, al{letter}ice@{letter}example{letter}.com, 用户@例{letter}子.广告"
    for _ in range(depth):
        content = json.dumps([content])
    redacted = MASK.redact(json.dumps(content, ensure_ascii=False).encode())
    assert redacted.counts == {"CARD": 1, "EMAIL": 2}


@pytest.mark.parametrize("dash", ["\u05be", "\u2043", "\u2e3a", "\u30a0", "\u1680"], ids=ascii)
def test_dashes_and_spaces_of_any_script_are_read(dash):
    found = 0 if dash == "\u2043" else 1  # a bullet is no dash
    assert sum(hidden(f"219{dash}09{dash}9999")[1].values()) == found


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_letters_that_have_two_escapes_are_read(depth):
    digits = "".join(chr(0x1D7CE + int(digit)) for digit in "4111111111111111")
    content = f"it is {digits} \U0001f600."
    for _ in range(depth):
        content = json.dumps({"card": content})
    said, counts = hidden(content)
    for _ in range(depth):
        said = json.loads(said)["card"]
    assert (said, counts) == ("it is <CARD> \U0001f600.", {"CARD": 1})


@pytest.mark.parametrize(
    "address",
    [
        "jose\u0301@example.com",
        "user@mu\u0308nchen.de",
        "user@उदाहरण.भारत",
        "हिन्दी@example.com",
        "ผู้ใช้@ตัวอย่าง.ไทย",
        "用户@例子.广告",
        "用户\uff20例子\u3002广告",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("ascii_alone", [False, True])
def test_addresses_of_any_script_are_hidden_whole(address, ascii_alone):
    assert hidden(f"to {address} .")[0] == "to <EMAIL> ."
    said, _ = hidden(json.dumps({"to": f"to {address} ."}, ensure_ascii=ascii_alone))
    assert json.loads(said) == {"to": "to <EMAIL> ."}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("id,-----BEGIN PRIVATE KEY-----ab,of,7,,\n", "id,<API_KEY>,of,7,,\n"),
        ('id,"-----BEGIN PRIVATE KEY-----a,b ""c""",of,,\n', 'id,"<API_KEY>""c""",of,,\n'),
        ("id,-----BEGIN PRIVATE KEY-----,,\n", "id,<API_KEY>,,\n"),
        ("id,a://u:p,q@z,7\n", "id,a://u:p,q@z,7\n"),
        ('id,"{""a"":""x@b.co""}","{""y@b.co"":1}"\n', 'id,"{""a"":""<EMAIL>""}","{""<EMAIL>"":1}"\n'),
    ],
)
def test_a_value_ends_with_its_cell(line, expected):
    assert MASK.redact_csv(line.encode()).line.decode() == expected


@pytest.mark.parametrize("end", ["", "\n", "\n-----END PRIVATE KEY-----", "\n-----END PRIVATE KEY-----\n", "/+\r\n"])
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_private_key_ends_before_the_quote_behind_it(depth, end):
    key = "-----BEGIN PRIVATE KEY-----\nMIIE\n//ab+=" + end
    content = f'key = "{key}"; file = "{key}'
    for _ in range(depth):
        content = json.dumps({"private_key": content, "n": 1})
    said, counts = hidden(content)
    for _ in range(depth):
        said = json.loads(said)["private_key"]
    assert said == 'key = "<API_KEY>"; file = "<API_KEY>'
    assert counts == {"API_KEY": 2}
