"""What values are written in: letters that nobody sees or that look alike, escapes, cells of CSV, quotes."""

import json

import pytest

from llmproxy_grpc.datasets.redaction import RedactionMode, Redactor

MASK = Redactor(RedactionMode.MASK)


def hidden(value):
    redacted = MASK.redact(json.dumps(value, ensure_ascii=False).encode())
    return json.loads(redacted.line), redacted.counts


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
