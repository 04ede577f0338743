import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.providers.scrubbing import identifier, scrubbed


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("", ""),
        ("The model is overloaded.", "The model is overloaded."),
        ("model claude-haiku-4-5 not found", "model claude-haiku-4-5 not found"),
        ("  two\r\nlines\tand\x1b[31m red ", "two lines and [31m red"),
        ("nul\0 next\u2028line\u0085end", "nul next line end"),
        ("half \ud83d character", "half character"),
        ("Authorization: Bearer test-key, sent", "Authorization: *** ***, sent"),
        ("bearer test-key", "bearer ***"),
        ("api_key=test-key&x=1", "api_key=***"),
        ('{"apiKey": "test-key"}', '{"apiKey": ***"}'),
        ("Incorrect API key provided: test-key.", "Incorrect API key provided: ***"),
        ("password=hunter2 rejected", "password=*** rejected"),
        ("key sk-short1 is wrong", "key *** is wrong"),
        ("see https://user:pw@example.test/path?key=1#part for more", "see https://***@example.test/path?*** for more"),
        ("see https://example.test/docs.", "see https://example.test/docs."),
    ],
)
def test_what_is_said_of_a_text(text, clean):
    assert scrubbed(text) == clean


SECRETS = [
    "sk-proj-" + "aB3" * 12,
    "sk-ant-api03-" + "x_9-" * 8,
    "gsk_" + "Q7" * 12,
    "hf_" + "aZ9" * 10,
    "xai-" + "k2" * 20,
    "AIza" + "Sy4" * 11,
    "AKIA" + "Q2W3" * 4,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlLW9mLW5vdGhpbmc",
    hashlib.sha256(b"x").hexdigest(),
    base64.b64encode(hashlib.sha512(b"x").digest()).decode(),
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "frame", ["{}", "key {} is wrong", '"{}"', "({})", "provided:{}.", "x={},y", "a\n{}\nb", "{}" + "z" * 0]
)
def test_no_eight_characters_of_a_secret_survive(secret, frame):
    clean = scrubbed(frame.format(secret))
    assert "***" in clean
    assert not [secret[at : at + 8] for at in range(len(secret) - 7) if secret[at : at + 8] in clean]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("before", [*range(200, 257, 8), 4090, 4095])
def test_a_secret_that_is_cut_off_does_not_survive_either(secret, before):
    clean = scrubbed("w " * (before // 2) + secret)
    assert not [secret[at : at + 8] for at in range(len(secret) - 7) if secret[at : at + 8] in clean]


@given(st.text(st.characters() | st.sampled_from("\ud83d\n\x1b\u20ac")), st.integers(0, 300))
def test_the_result_is_one_short_line_that_can_be_encoded(text, limit):
    clean = scrubbed(text, limit=limit)
    assert len(clean.encode()) <= limit
    assert "\n" not in clean
    assert "\x1b" not in clean


def test_a_character_is_never_cut_in_half():
    assert scrubbed("\u20ac" * 100, limit=256) == "\u20ac" * 85


@pytest.mark.parametrize(
    "text", ["?" * 100_000, "a://" * 25_000, "x" * 100_000, "api_key" * 20_000, "a-" * 50_000, "1=" * 50_000]
)
def test_the_time_is_bounded_for_every_text(text):
    scrubbed(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("req_1-a.b:c", "req_1-a.b:c"),
        (429, "429"),
        ("", ""),
        (None, ""),
        (True, ""),
        ([], ""),
        ("a\nb", ""),
        ("x" * 65, ""),
    ],
)
def test_an_identifier_is_short_and_plain_or_nothing(value, text):
    assert identifier(value) == text
