import pytest

from llmproxy_grpc.messages import (
    CacheHint,
    MediaDetail,
    MediaKind,
    MediaPart,
    Message,
    OpaquePart,
    Role,
    TextPart,
    ToolResultPart,
)
from llmproxy_grpc.providers.chat_completions.content import citations, pieces
from llmproxy_grpc.providers.chat_completions.quirks import COMPATIBLE, CacheStyle, Quirks
from tests.unit.providers.chat_completions.encoding import messages, user


def test_a_picture_of_bytes_is_a_data_url():
    part = MediaPart(kind=MediaKind.IMAGE, data=b"\x89PNG", media_type="image/png", detail=MediaDetail.LOW)
    assert messages(user(TextPart(text="?"), part))[0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,iVBORw==", "detail": "low"},
    }


def test_a_picture_of_an_address_is_sent_as_it_stands():
    part = MediaPart(kind=MediaKind.IMAGE, uri="https://example.test/cat.png?a=b#c", detail=MediaDetail.HIGH)
    assert messages(user(part))[0]["content"][0]["image_url"] == {
        "url": "https://example.test/cat.png?a=b#c",
        "detail": "high",
    }


@pytest.mark.parametrize(
    ("media_type", "name"),
    [("audio/wav", "wav"), ("audio/x-wav", "wav"), ("audio/mpeg", "mp3"), ("Audio/MP3; rate=1", "mp3")],
)
def test_sound_is_sent_by_bytes_and_format(media_type, name):
    part = MediaPart(kind=MediaKind.AUDIO, data=b"abc", media_type=media_type)
    assert messages(user(part))[0]["content"] == [
        {"type": "input_audio", "input_audio": {"data": "YWJj", "format": name}}
    ]


def test_a_document_is_sent_by_bytes_or_by_id():
    by_bytes = MediaPart(kind=MediaKind.DOCUMENT, data=b"%PDF", media_type="application/pdf", filename="a.pdf")
    by_id = MediaPart(kind=MediaKind.DOCUMENT, file_id="file-1")
    assert messages(user(by_bytes, by_id))[0]["content"] == [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]


def test_a_video_is_sent_where_videos_are_taken_and_left_out_elsewhere():
    part = MediaPart(kind=MediaKind.VIDEO, uri="https://example.test/v.mp4")
    said = user(TextPart(text="?"), part)
    assert messages(said)[0]["content"] == "?"
    assert messages(said, quirks=Quirks(video=True))[0]["content"][1] == {
        "type": "video_url",
        "video_url": {"url": "https://example.test/v.mp4"},
    }


def test_an_opaque_part_goes_back_to_its_own_kind_alone():
    part = OpaquePart(provider_kind="openai", type="thing", value={"n": 3.0, "deep": [{"x": 1.5}]})
    assert messages(user(TextPart(text="?"), part))[0]["content"][1] == {
        "type": "thing",
        "n": 3,
        "deep": [{"x": 1.5}],
    }
    other = OpaquePart(provider_kind="anthropic", type="thing", value={})
    assert messages(user(TextPart(text="?"), other))[0]["content"] == "?"


@pytest.mark.parametrize(("ttl", "control"), [(None, {}), (300.0, {"ttl": "5m"}), (3600.0, {"ttl": "1h"})])
def test_a_cache_hint_marks_its_part_where_parts_can_be_marked(ttl, control):
    said = user(TextPart(text="long", cache_hint=CacheHint(ttl)))
    assert messages(said)[0]["content"] == "long"
    assert messages(said, quirks=Quirks(cache_hints=CacheStyle.CONTROL))[0]["content"] == [
        {"type": "text", "text": "long", "cache_control": {"type": "ephemeral", **control}}
    ]


def test_a_document_without_a_name_gets_one_by_which_it_is_known():
    document = MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/pdf")
    assert messages(user(document))[0]["content"][0]["file"]["filename"] == "document.pdf"
    unknown = MediaPart(kind=MediaKind.DOCUMENT, data=b"x", media_type="application/x-unheard-of")
    assert messages(user(unknown), quirks=COMPATIBLE)[0]["content"][0]["file"]["filename"] == "document.bin"


@pytest.mark.parametrize(("ttl", "mark"), [(None, {}), (1800.0, {"ttl": "30m"}), (1801.0, {"ttl": "12h"})])
def test_a_cache_hint_is_a_breakpoint_where_those_are_known(ttl, mark):
    said = user(TextPart(text="long", cache_hint=CacheHint(ttl)))
    assert messages(said, quirks=Quirks(cache_hints=CacheStyle.BREAKPOINT))[0]["content"] == [
        {"type": "text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit", **mark}}
    ]


def test_results_of_tools_hold_pictures_where_the_vendor_takes_them():
    picture = MediaPart(kind=MediaKind.IMAGE, data=b"x", media_type="image/png")
    result = Message(Role.TOOL, (ToolResultPart(tool_call_id="c", content=(TextPart(text="see"), picture)),))
    assert messages(result, quirks=Quirks(media_results=True)) == [
        {
            "role": "tool",
            "tool_call_id": "c",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}},
            ],
        }
    ]


def test_thinking_within_thinking_is_read_in_order_however_deep():
    deep: object = "in"
    for _ in range(5000):
        deep = [{"text": "t", "thinking": deep}]
    said = list(pieces(["a", {"text": "b", "thinking": ["c", {"text": "d", "thinking": "e"}, "f"]}, "g", *deep]))
    told = [(False, "a"), (False, "b"), (True, "c"), (True, "d"), (True, "e"), (True, "f"), (False, "g")]
    assert said[:7] == [(*each, "") for each in told]
    assert said[7:] == [(False, "t", ""), *[(True, "t", "")] * 4999, (True, "in", "")]


def test_a_signature_is_told_before_what_it_signs():
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "a"}, "b"], "signature": "s"}
    odd = {"type": "thinking", "thinking": "c", "signature": 7}
    assert list(pieces([thought, "d", odd, {"type": "text", "text": "e", "signature": "x"}])) == [
        (True, "", "s"),
        (True, "a", "s"),
        (True, "b", "s"),
        (False, "d", ""),
        (True, "c", ""),
        (False, "e", ""),
    ]


@pytest.mark.parametrize(
    ("told", "offset"), [(True, 0), (-1, 0), (12, 12), (12.0, 12), (10**4000, 2**31 - 1), ("1", 0), (None, 0)]
)
def test_offsets_of_sources_are_counts_whatever_is_told(told, offset):
    (source,) = citations([{"url_citation": {"url": "u", "start_index": told, "end_index": told}}])
    assert [source.start_offset, source.end_offset] == [offset, offset]
    assert type(source.start_offset) is int
