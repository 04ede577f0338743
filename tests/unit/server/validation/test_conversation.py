import math
import tracemalloc

import pytest

from llmproxy_grpc.server.validation import bounds, validate
from tests.fakes.structs import struct
from tests.unit.server.validation.build import (
    ASSISTANT,
    DEVELOPER,
    HELLO,
    SYSTEM,
    TOOL,
    USER,
    answered,
    called,
    request,
    said,
    turn,
)

IMAGE = {"image": {"data": b"x", "media_type": "image/png"}}
CALL = {"tool_call": {"id": "c", "name": "f"}}
RESULT = {"tool_result": {"tool_call_id": "c"}}


def media(kind="image", **fields):
    return said(turn({kind: fields}))


def cited(count):
    return {"text": "t", "citations": [{}] * count}


def opaque(values):
    return {"opaque": {"provider_kind": "openai", "value": struct({"a": [1] * values})}}


def result(*content):
    return said(called("c"), turn({"tool_result": {"tool_call_id": "c", "content": list(content)}}, role=TOOL))


WRONG = {
    "no messages": (request(messages=[]), "messages"),
    "too many messages": (said(*[HELLO] * (bounds.MAX_MESSAGES + 1)), "messages"),
    "too many parts": (said(turn(*[{"text": ""}] * (bounds.MAX_PARTS + 1))), "messages"),
    "too many parts in all": (said(*[turn(*[{"text": ""}] * 10_000)] * 3), "messages"),
    "too many parts of a result": (result(*[{"text": ""}] * bounds.MAX_PARTS), "messages"),
    "no role": (said({"parts": [{"text": "hi"}]}), "messages[0].role"),
    "a role from the future": (said(turn({"text": "hi"}, role=77)), "messages[0].role"),
    "a negative role": (said(turn({"text": "hi"}, role=-1)), "messages[0].role"),
    "no parts": (said(HELLO, {"role": USER}), "messages[1].parts"),
    "a part without content": (said(turn({"text": "hi"}, {})), "messages[0].parts[1]"),
    "a part without content but with extras": (said(turn({"continuity_token": b"x"})), "messages[0].parts[0]"),
    "a long name": (said(turn({"text": "hi"}, name="n" * 129)), "messages[0].name"),
    "a name with a control character": (said(turn({"text": "hi"}, name="a\nb")), "messages[0].name"),
    "media without source": (media(media_type="image/png"), "messages[0].parts[0].image"),
    "data without type": (media("audio", data=b"x"), "messages[0].parts[0].audio.media_type"),
    "empty data": (media("video", data=b"", media_type="video/mp4"), "messages[0].parts[0].video.data"),
    "a type that is none": (media("document", data=b"x", media_type="pdf"), "messages[0].parts[0].document.media_type"),
    "a type with a line break": (media(data=b"x", media_type="image/png\r\n"), "messages[0].parts[0].image.media_type"),
    "a long type": (media(data=b"x", media_type="image/" + "x" * 250), "messages[0].parts[0].image.media_type"),
    "a wrong type with a URI": (
        media(uri="https://a.example", media_type="x"),
        "messages[0].parts[0].image.media_type",
    ),
    "an empty URI": (media(uri=""), "messages[0].parts[0].image.uri"),
    "a relative URI": (media(uri="/cat.png"), "messages[0].parts[0].image.uri"),
    "a scheme alone": (media(uri="https:"), "messages[0].parts[0].image.uri"),
    "a URI with a line break": (media(uri="https://a.example/\r\nx"), "messages[0].parts[0].image.uri"),
    "a long URI": (media(uri="https://" + "a" * 8192), "messages[0].parts[0].image.uri"),
    "a data URI": (media(uri="DATA:image/png;base64,AAAA"), "messages[0].parts[0].image.uri"),
    "a file": (media(uri="File:///etc/cat.png"), "messages[0].parts[0].image.uri"),
    "a file of Windows": (media(uri="C:\\cat.png"), "messages[0].parts[0].image.uri"),
    "an empty file id": (media(file_id=""), "messages[0].parts[0].image.file_id"),
    "a long file id": (media(file_id="f" * 513), "messages[0].parts[0].image.file_id"),
    "a filename with a control character": (
        media(file_id="f", filename="a\x00"),
        "messages[0].parts[0].image.filename",
    ),
    "a long filename": (media(file_id="f", filename="f" * 256), "messages[0].parts[0].image.filename"),
    "a negative ttl": (
        said(turn({"text": "hi", "cache_hint": {"ttl": {"seconds": -1}}})),
        "messages[0].parts[0].cache_hint.ttl",
    ),
    "an endless ttl": (
        said(turn({**IMAGE, "cache_hint": {"ttl": {"seconds": 10**9}}})),
        "messages[0].parts[0].cache_hint.ttl",
    ),
    "an opaque part of nobody": (said(turn({"opaque": {"type": "t"}})), "messages[0].parts[0].opaque.provider_kind"),
    "an opaque part that is not finite": (
        said(turn({"opaque": {"provider_kind": "k", "value": struct({"a": math.inf})}})),
        "messages[0].parts[0].opaque.value",
    ),
    "a user's tool call": (said(turn(CALL)), "messages[0].parts[0].tool_call"),
    "a user's reasoning": (said(turn({"reasoning": {"text": "t"}})), "messages[0].parts[0].reasoning"),
    "a system's refusal": (said(turn({"refusal": "no"}, role=SYSTEM)), "messages[0].parts[0].refusal"),
    "a call without id": (
        said(turn({"tool_call": {"name": "f"}}, role=ASSISTANT)),
        "messages[0].parts[0].tool_call.id",
    ),
    "a call with a long id": (said(called("c" * 257)), "messages[0].parts[0].tool_call.id"),
    "a call without name": (
        said(turn({"tool_call": {"id": "c"}}, role=ASSISTANT)),
        "messages[0].parts[0].tool_call.name",
    ),
    "two calls of one id": (said(called("c", "c")), "messages[0].parts[1].tool_call.id"),
    "an id again before its result": (said(called("c"), called("c")), "messages[1].parts[0].tool_call.id"),
    "a user's result": (said(called("c"), turn(RESULT)), "messages[1].parts[0].tool_result"),
    "a result without id": (said(called("c"), answered("")), "messages[1].parts[0].tool_result.tool_call_id"),
    "a result without call": (said(HELLO, HELLO, answered("c")), "messages[2].parts[0].tool_result.tool_call_id"),
    "a result before its call": (said(answered("c"), called("c")), "messages[0].parts[0].tool_result.tool_call_id"),
    "a result of another call": (said(called("c"), answered("d")), "messages[1].parts[0].tool_result.tool_call_id"),
    "a second result": (said(called("c"), answered("c", "c")), "messages[1].parts[1].tool_result.tool_call_id"),
    "a tool's text": (said(turn({"text": "hi"}, role=TOOL)), "messages[0].parts[0].text"),
    "a tool's picture beside a result": (
        said(called("c"), turn(RESULT, IMAGE, role=TOOL)),
        "messages[1].parts[1].image",
    ),
    "a result in a result": (result({"text": "a"}, RESULT), "messages[1].parts[0].tool_result.content[1]"),
    "a call in a result": (result(CALL), "messages[1].parts[0].tool_result.content[0]"),
    "many citations of a part": (
        said(turn(cited(10_000), role=ASSISTANT), turn(cited(1))),
        "messages[1].parts[0].citations",
    ),
    "many citations in a result": (result(cited(10_001)), "messages[1].parts[0].tool_result.content[0].citations"),
    "more values than all may hold": (said(turn(opaque(10_000), opaque(9_999))), "messages[0].parts[1].opaque.value"),
    "nothing in a result": (result({}), "messages[1].parts[0].tool_result.content[0]"),
    "a picture without source in a result": (
        result({"image": {}}),
        "messages[1].parts[0].tool_result.content[0].image",
    ),
}


@pytest.mark.parametrize(("wrong", "path"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_by_its_path(wrong, path):
    assert [violation.field for violation in validate(wrong)] == [path]


def test_what_is_more_than_all_structs_may_hold_is_not_even_looked_at():
    wrong = said(turn(opaque(200_000)))
    tracemalloc.start()
    try:
        assert [violation.field for violation in validate(wrong)] == ["messages[0].parts[0].opaque.value"]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


RIGHT = {
    "every role": said(*[turn({"text": "t"}, role=role) for role in (SYSTEM, DEVELOPER, USER, ASSISTANT)]),
    "empty text": said(turn({"text": ""})),
    "text of any characters": said(turn({"text": "\x00\x1b\u202e\U0010ffff"})),
    "the longest name": said(turn({"text": "hi"}, name="名" * 128)),
    "many parts": said(turn(*[{"text": ""}] * bounds.MAX_PARTS)),
    "media of every kind": said(
        turn(
            IMAGE,
            {"audio": {"file_id": "f"}},
            {"video": {"uri": "gs://bucket/v"}},
            {"document": {"data": b"x", "media_type": "application/pdf; charset=utf-8", "filename": "名 前.pdf"}},
        )
    ),
    "a media type with everything": media(data=b"x", media_type="application/vnd.a+xml; a=b; c=d"),
    "the longest URI": media(uri="https://" + "a" * 8184),
    "an echoed answer": said(
        turn({"reasoning": {"redacted": True}, "continuity_token": b"s"}, {"refusal": "no"}, role=ASSISTANT),
    ),
    "calls and their results": said(called("a", "b"), answered("b", "a")),
    "results in messages of their own": said(called("a", "b"), answered("a"), answered("b")),
    "an id again after its result": said(called("a"), answered("a"), called("a"), answered("a")),
    "a call that nobody answers": said(called("a"), HELLO),
    "an empty result": said(called("c"), turn(RESULT, role=TOOL)),
    "a result of many kinds": result({"text": "t"}, IMAGE, {"opaque": {"provider_kind": "anthropic"}}),
    "a call whose arguments are no JSON": said(
        turn({"tool_call": {"id": "c", "name": "any name", "arguments_json": "{"}}, role=ASSISTANT)
    ),
    "as many citations as are allowed": said(turn(cited(10_000))),
    "as many values as are allowed": said(turn(opaque(10_000), opaque(9_998))),
    "cache hints": said(
        turn({"text": "hi", "cache_hint": {}}, {"text": "hi", "cache_hint": {"ttl": {"seconds": 300}}})
    ),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=RIGHT)
def test_what_is_right_passes(right):
    assert validate(right) == []
