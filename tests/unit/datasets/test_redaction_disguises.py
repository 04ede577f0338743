"""What values are written in: letters that nobody sees or that look alike, escapes, cells of CSV, quotes."""

import json

import pytest

from llmproxy_grpc.datasets.redaction import RedactionMode, Redactor

MASK = Redactor(RedactionMode.MASK)


def hidden(value):
    redacted = MASK.redact(json.dumps(value, ensure_ascii=False).encode())
    return json.loads(redacted.line), redacted.counts


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
