import json
import time
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.datasets.example import Figures
from llmproxy_grpc.datasets.formats import FORMATS, render
from llmproxy_grpc.datasets.options import Format, Options
from llmproxy_grpc.datasets.redaction import CLASSES, Redacted, RedactionMode, Redactor
from llmproxy_grpc.datasets.skipping import Skipped, SkipReason
from tests.fakes.examples import EVERY_SHAPE, assistant, call, example, results, user
from tests.unit.datasets.canaries import CANARIES, escaped, full_width, secret_of

MASK = Redactor(RedactionMode.MASK)


def as_line(value):
    return msgspec.json.encode(value) + b"\n"


def hidden(value, redactor=MASK):
    redacted = redactor.redact(as_line(value))
    assert isinstance(redacted, Redacted)
    return json.loads(redacted.line), redacted.counts


def read_deeply(value):
    """Every text that somebody finds in a value, JSON within texts taken apart too, and look-alikes made the same."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from (*read_deeply(name), *read_deeply(each))
    elif isinstance(value, list):
        for each in value:
            yield from read_deeply(each)
    elif isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            inner = None
        if isinstance(inner, dict | list):
            yield from read_deeply(inner)
        else:
            yield unicodedata.normalize("NFKC", value)
    else:
        yield json.dumps(value)


FOUND = {
    "Mail Alice.B+x@mail.example.co.uk.": "Mail <EMAIL>.",
    "?email=bob%40example.org&x=1": "?email=<EMAIL>&x=1",
    "jörg@müller.example": "<EMAIL>",
    "a@xn--bcher-kva.xn--p1ai": "<EMAIL>",
    "mailto:a@b.co": "mailto:<EMAIL>",
    "\nalice@example.com\n": "\n<EMAIL>\n",
    "sk-learn-like-people-write-to@example.com": "<EMAIL>",
    "+1 (415) 555-2671, +442079460958": "<PHONE>, <PHONE>",
    "+55 11 91234-5678 (11) 91234-5678": "<PHONE> <PHONE>",
    "415.555.2671 or (415) 555 2671": "<PHONE> or <PHONE>",
    "01 23 45 67 89 and 020 7946 0958": "<PHONE> and <PHONE>",
    "+44 20 7946 0958 020 7946 0958": "<PHONE> <PHONE>",
    "4111 1111 1111 1111 12/26": "<CARD> 12/26",
    "4111-1111-1111-1111 123": "<CARD> 123",
    "378282246310005, 30569309025904.": "<CARD>, <CARD>.",
    "6-digit 4111111111111111": "6-digit <CARD>",
    "1,4111111111111111,2": "1,<CARD>,2",
    "GB82 WEST 1234 5698 7654 32 AND SO ON": "<IBAN> AND SO ON",
    "de89370400440532013000": "<IBAN>",
    "10.0.0.7:443 and 2001:db8::8a2e:370:7334": "<IP_ADDRESS>:443 and <IP_ADDRESS>",
    "[fe80::1ff:fe23:4567:890a]": "[<IP_ADDRESS>]",
    "::ffff:192.168.1.9": "::ffff:<IP_ADDRESS>",
    "529.982.247-25 52998224725": "<CPF> <CPF>",
    "11.222.333/0001-81 11222333000181 12.ABC.345/01DE-35": "<CNPJ> <CNPJ> <CNPJ>",
    "078-05-1120 and 078 05 1120": "<US_SSN> and <US_SSN>",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_1": "<JWT>",
    "https://user:p@ss@host/x": "https://<URL_CREDENTIALS>@host/x",
    "redis://:secret@host": "redis://<URL_CREDENTIALS>@host",
    "4111\t1111\t1111\t1111  4111  1111  1111  1111\t2": "<CARD>  <CARD>\t2",
    "card_4111111111111111_user_529.982.247-25": "card_<CARD>_user_<CPF>",
    "host_10.0.0.7_ok ssn_078-05-1120 iban_DE89370400440532013000": "host_<IP_ADDRESS>_ok ssn_<US_SSN> iban_<IBAN>",
    "key=sk-abcdefghij1234567890": "key=<API_KEY>",
    "MY_AKIAABCDEFGHIJKLMNOP, ghp_" + "a" * 36: "MY_<API_KEY>, <API_KEY>",
    "Authorization: Bearer abcdefghij1234567890": "Authorization: <API_KEY>",
    "authorization: Basic dXNlcjpwdw== of https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnop": (
        "<API_KEY> of https://<API_KEY>"
    ),
    "-----BEGIN PRIVATE KEY-----\nMIIE\nabc=\n-----END PRIVATE KEY-----": "<API_KEY>",
}

STAYS = [
    "2026-11-26T03:04:16.123456Z, 26.11.2026 03:04, 1732590000, 1732590000000",
    "01a215c7-cb2f-75cd-8ab8-d920befa9261 d41d8cd98f00b204e9800998ecf8427e",
    "v1.2.3, 1.2.3.4.5, 127.0.0.1, ::1, 0.0.0.0, 300.1.1.1, 12:30:45, std::vector, a::b, face::book",
    "3.14159265358979 0.4111111111111111 4111111111111112 123456789012345678901234567890",
    "@property foo@bar @alice a@b @ 5@2.50 user@host",
    "000-12-3456 666-12-3456 900-12-3456 123-00-4567 12-345-6789",
    "GB83 WEST 1234 5698 7654 32 XX12ABCDEFGHIJKLMNOP",
    "529.982.247-26 111.111.111-11 11.222.333/0001-82",
    "https://example.com:8080/a@b http://host/x:y@z",
    "sk-learn-is-a-library-for-learning task-1234567890123456789012",
    "eyJ.a.b eyJhbGciOiJIUzI1NiJ9",
    "Bearer authentication-by-headers pypi-packages-that-have-a-very-long-name-and-nothing-else-in-it-at-all",
    "4111\n1111\n1111\n1111 4111   1111   1111   1111",
    "C++11 x+12345678 1+1=2 100-200-3000 555-0199",
    "call_4111111111111111 item4111111111111111",
    "《全角\uff0c标点。\uff01\uff1f\uff08括号\uff09》 2019\u20132024 10\u00a0000\u00a0km \U0001f469\u200d\U0001f4bb",
]


@pytest.mark.parametrize(("text", "expected"), FOUND.items())
def test_a_value_is_hidden_and_nothing_around_it(text, expected):
    assert hidden(text)[0] == expected


@pytest.mark.parametrize("text", STAYS)
def test_what_only_looks_like_a_value_stays(text):
    assert hidden(text) == (text, {})


def test_the_classes_are_those_that_the_api_names():
    comment = "EMAIL, PHONE, CARD, IBAN, IP_ADDRESS, CPF, CNPJ, US_SSN, JWT, API_KEY, URL_CREDENTIALS"
    assert set(CLASSES) == set(comment.split(", "))
    modes = {name.removeprefix("REDACTION_MODE_"): number for name, number in pb.RedactionMode.items()}
    assert {mode.name: mode.value for mode in RedactionMode} == {
        name: number for name, number in modes.items() if number
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_each_class_alone_is_found_by_itself_alone(kind):
    values = dict(CANARIES)
    redactor = Redactor(RedactionMode.MASK, [kind])
    for other, value in values.items():
        said, counts = hidden(f"It is {value}.", redactor)
        if other == kind:
            assert counts == {kind: 1}
            assert f"<{kind}>" in said
        else:
            assert set(counts) <= {kind}


def test_a_class_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="unknown"):
        Redactor(RedactionMode.MASK, ["EMAIL", "NAME"])


# --- canaries ---------------------------------------------------------------------------------------------------


def planted(value):
    """A record with a value in every place where one may be."""
    inner = json.dumps({"note": f"({value})", "list": [value], value: 1})
    arguments = json.dumps({"to": value, "deep": [{"at": f"<{value}>"}], "json": inner}, ensure_ascii=False)
    made = example(
        user(f"I am {value}, yes.\n{value}"),
        assistant(call("call_1", arguments)),
        results(("call_1", json.dumps({"result": value, "text": f"ok {value}\n"}))),
        assistant(f"```json\n{inner}\n```\n“{value}”"),
    )
    request = replace(made.request, labels={"contact": value}, end_user_id=value)
    return replace(made, request=request, figures=Figures(provider_metadata={"x": {"who": value, "deep": [value]}}))


TEXTS = (Format.OPENAI_CHAT, Format.TRL_PROMPT_COMPLETION, Format.SHAREGPT, Format.GEMINI, Format.FULL_JSON)


@pytest.mark.parametrize("form", TEXTS, ids=lambda form: form.name)
def test_no_canary_leaves(form):
    left = []
    for kind, value in CANARIES:
        line = render(form, planted(value), Options())
        assert isinstance(line, bytes)
        redacted = MASK.redact(line)
        assert isinstance(redacted, Redacted)
        texts = list(read_deeply(json.loads(redacted.line)))
        if any(secret_of(kind, value) in text for text in texts):
            left.append(value)
        assert redacted.counts.get(kind, 0) >= 8, value
    assert left == []
    assert len(CANARIES) >= 500


def test_no_canary_leaves_as_a_figure():
    for kind, value in CANARIES:
        line = render(Format.CSV, planted(value), Options())
        redacted = MASK.redact_csv(line)
        assert secret_of(kind, value) not in redacted.line.decode()


@pytest.mark.parametrize("write", [full_width, escaped], ids=["full width", "escaped"])
def test_no_canary_leaves_in_disguise(write):
    plain = [(kind, value) for kind, value in CANARIES if kind in {"EMAIL", "CARD", "CPF", "US_SSN", "PHONE"}]
    for kind, value in plain:
        line = as_line({"content": f"I am {write(value)} .", "arguments": '{"a": "' + write(value) + '"}'})
        redacted = MASK.redact(line)
        texts = list(read_deeply(json.loads(redacted.line)))
        assert not any(value in text or write(value) in text for text in texts), value
        assert redacted.counts == {kind: 2}, value


def test_invisible_letters_and_other_dashes_hide_nothing():
    assert hidden("al\u200bice@exam\u00adple.com")[0] == "<EMAIL>"
    assert hidden("415\u2013555\u20132671 or 4111\u00a01111\u00a01111\u00a01111")[0] == "<PHONE> or <CARD>"
    assert hidden("\u0664\u0661\u0661\u0661" + "1" * 12)[0] == "<CARD>"


@pytest.mark.parametrize("place", [*range(65_500, 65_540), 131_071, 131_072])
def test_no_canary_leaves_at_the_edge_of_a_chunk(place):
    for value in ("alice@example.com", "4111 1111 1111 1111", "\\\\u0040 bob\\\\u0040example.com"):
        line = b'{"content":"' + b"x" * place + b" " + value.encode() + b" " + b"y" * 80_000 + b'"}\n'
        redacted = MASK.redact(line)
        assert sum(redacted.counts.values()) == 1
        assert b"example.com" not in redacted.line
        assert b"4111" not in redacted.line


# --- what stays to the byte ---------------------------------------------------------------------------------------


def test_everything_else_stays_to_the_byte():
    line = (
        b'{"n": 123456789012345678901234567890,"n" :1.0e2, "\\u0041":"\\/", "mail":"a@b.co" ,"args":"{\\"n\\" : '
        b'12345678901234567890123,\\n \\"x\\": \\"\\\\u00e9\\"}"}\n'
    )
    redacted = MASK.redact(line)
    assert redacted.line == line.replace(b"a@b.co", b"<EMAIL>")


@pytest.mark.parametrize("name", EVERY_SHAPE)
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_line_without_values_is_the_same_line(form, name):
    line = render(form, EVERY_SHAPE[name], Options(merge_turns=True))
    if isinstance(line, bytes):
        assert MASK.redact(line) == Redacted(line)


def test_pictures_stay_what_they_are():
    bytes_of_files = b'{"url":"data:image/png;base64,' + b"AKIA1234567890123456+14155552671/" * 20 + b'"}\n'
    assert MASK.redact(bytes_of_files).line == bytes_of_files


def test_numbers_become_strings_so_that_json_stays_json():
    arguments = '{"card": 4111111111111111, "list": [52998224725,\n 1], "f": 0.41, "s": "4111111111111111"}'
    inner = json.dumps({"args": arguments, "card": 4111111111111111})
    value = {"n": 4111111111111111, "arguments": arguments, "text": "see: 4111111111111111, ok", "deep": inner}
    said, counts = hidden(value)
    assert counts == {"CARD": 7, "CPF": 2}
    assert said["n"] == "<CARD>"
    assert said["text"] == "see: <CARD>, ok"
    expected = {"card": "<CARD>", "list": ["<CPF>", 1], "f": 0.41, "s": "<CARD>"}
    assert json.loads(said["arguments"]) == expected
    assert json.loads(json.loads(said["deep"])["args"]) == expected
    assert json.loads(said["deep"])["card"] == "<CARD>"


def test_names_of_fields_are_looked_at_too():
    assert hidden({"alice@example.com": 1})[0] == {"<EMAIL>": 1}


# --- modes --------------------------------------------------------------------------------------------------------


def test_a_token_is_the_same_for_the_same_value_however_it_is_written():
    redactor = Redactor(RedactionMode.TOKEN, key=b"export")
    said, counts = hidden("a@B.co A@b.co c@d.co; 4111 1111 1111 1111, 4111-1111-1111-1111", redactor)
    first, again, other, card, same_card = said.replace(";", "").replace(",", "").split()
    assert first == again != other
    assert card == same_card
    assert counts == {"EMAIL": 3, "CARD": 2}
    assert len(first) == len("<EMAIL_7f3a>")
    assert hidden("a@b.co", redactor)[0] == first
    assert hidden("a@b.co", Redactor(RedactionMode.TOKEN, key=b"another export"))[0] != first


def test_tokens_need_a_key_that_nobody_can_guess():
    with pytest.raises(ValueError, match="key"):
        Redactor(RedactionMode.TOKEN)


def test_a_record_is_left_out_if_asked_for():
    redactor = Redactor(RedactionMode.DROP_RECORD)
    assert redactor.redact(as_line("a@b.co")) == Skipped(SkipReason.REDACTED)
    assert redactor.redact(as_line("a@b")) == Redacted(as_line("a@b"))


@pytest.mark.parametrize("error", [RuntimeError("boom"), MemoryError(), RecursionError()])
def test_a_line_that_cannot_be_looked_through_does_not_leave(monkeypatch, error):
    def fail(*_):
        raise error

    redactor = Redactor(RedactionMode.MASK)
    monkeypatch.setattr(redactor, "_detector", type("Broken", (), {"find": fail})())
    assert redactor.redact(as_line("a@b.co")) == Skipped(SkipReason.REDACTION_FAILED)
    assert redactor.redact_csv(b"a@b.co\n") == Skipped(SkipReason.REDACTION_FAILED)


def test_json_that_would_break_does_not_leave(monkeypatch):
    redactor = Redactor(RedactionMode.MASK)
    monkeypatch.setattr("llmproxy_grpc.datasets.redaction.nesting.Nesting.is_number", lambda *_: False)
    assert redactor.redact(as_line('{"a":4111111111111111}')) == Skipped(SkipReason.REDACTION_FAILED)


# --- any text -----------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(TEXT | NUMBERS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner))


@given(before=TEXT, after=TEXT, canary=st.sampled_from(CANARIES), depth=st.integers(0, 3))
def test_a_value_between_any_texts_is_hidden_and_the_json_stays_json(before, after, canary, depth):
    kind, value = canary
    content = f"{before} ({value}) {after}"
    for _ in range(depth):
        content = json.dumps({"in": content, "n": [1, content]})
    redacted = MASK.redact(as_line({"content": content}))
    assert isinstance(redacted, Redacted)
    assert redacted.counts
    texts = list(read_deeply(json.loads(redacted.line)))
    assert not any(secret_of(kind, value) in text for text in texts)
    assert MASK.redact(redacted.line) == Redacted(redacted.line)


@given(JSON)
def test_any_json_stays_json(value):
    redacted = MASK.redact(json.dumps(value, ensure_ascii=False).encode() + b"\n")
    assert isinstance(redacted, Redacted)
    if not redacted.counts:
        assert json.loads(redacted.line) == value


# --- time ---------------------------------------------------------------------------------------------------------

MEBIBYTE = 1 << 20
HOSTILE = {
    "one letter": "a",
    "one digit": "1",
    "groups of digits": "4111 1111 1111 1112 ",
    "beginnings of cards": "4111 ",
    "points": "1.",
    "beginnings of accounts": "AB12 ",
    "accounts in accounts": "de12-",
    "double colons": "abc::",
    "digits and points": "1.1.1.1.",
    "digits and dashes": "111-11-1111-",
    "at signs": "a@",
    "mail without an end": "a@a-a-",
    "mails": "a@b.cc-",
    "colons": "aaaa:",
    "urls": "a://b:",
    "urls of urls": "://a:1.1.1.1,",
    "keys without digits": "sk-aaaaaaaaaaaaaaaaaaaa-",
    "keys in tokens": "eyJ-AKIA1234567890123456-",
    "cards in tokens": "eyJ-4111111111111112-",
    "tokens": "eyJaaaaaaaaaa.",
    "accounts": "GB82 WEST ",
    "plus signs": "+1 ",
    "parentheses": "(415) ",
    "backslashes": "\\",
    "escapes": "\\n\\u0040\\/",
    "quotes": '{"a":"',
    "nested numbers": '{"a":4111111111111111,',
    "invisible": "\u200b",
    "full width": "\uff11\uff20",
    "two escapes": "\\ud835\\udfd2",
    "halves of two escapes": "\\ud835",
    "mails of any script": "用@例\u200b。",
    "line ends": "\n",
    "private keys": "-----BEGIN PRIVATE KEY-----",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_a_mebibyte_of_anything_takes_a_moment(unit):
    line = as_line({"content": unit * (MEBIBYTE // len(unit))})
    started = time.process_time()
    redacted = MASK.redact(line)
    took = time.process_time() - started
    assert isinstance(redacted, Redacted)
    assert took < 30  # three seconds at most where nothing else runs; with the square of the length it would be hours
