"""What a stream of Gemini keeps until its end: only so much, and places of sources only of what was kept."""

import json
from typing import Any

import pytest

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import Citation, TextDelta, UpstreamEnd
from llmproxy_grpc.providers import extent
from llmproxy_grpc.providers.generate_content.stream import ContentDecoder
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.sse import ServerSentEvent
from tests.providers.conversations import ask

CITED = {"citations": [{"uri": "https://a.test", "startIndex": 6, "endIndex": 8}]}


@pytest.fixture(autouse=True)
def _little(monkeypatch):
    monkeypatch.setattr(extent, "MOST_HELD", 10_000)


def decoder() -> ContentDecoder:
    return ContentDecoder(Reply(ask(), "m", "", lambda _: UpstreamProtocolError("failed"), lambda: "call_1"))


def chunk(text: str = "", **more: Any) -> ServerSentEvent:
    parts = [{"text": text}] if text else []
    return ServerSentEvent("", json.dumps({"candidates": [{"content": {"parts": parts}, **more}]}).encode())


def citations(*texts: str) -> list[Citation]:
    stream = decoder()
    stream.feed([*map(chunk, texts), chunk(citationMetadata=CITED, finishReason="STOP")])
    stream.end()
    events = stream.take()
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert said == "".join(texts)
    return [each for event in events if isinstance(event, TextDelta) for each in event.citations]


def test_sources_of_so_long_an_answer_that_it_is_not_kept_have_no_place():
    assert citations("x" * 5000, "y" * 5000) == [Citation("https://a.test", "", 6, 8, "")]
    assert citations("x" * 5000, "y" * 5000, "z") == [Citation("https://a.test", "", 0, 0, "")]
    assert citations("x" * 5000, "y" * 5001, *"more words") == [Citation("https://a.test", "", 0, 0, "")]


@pytest.mark.parametrize("field", ["groundingMetadata", "urlContextMetadata"])
def test_what_is_told_beside_the_answer_is_bounded(field):
    stream = decoder()
    pieces = (chunk(**{field: {f"{number}": "x" * 100}}) for number in range(1000))
    with pytest.raises(UpstreamProtocolError):
        stream.feed(pieces)


def test_so_are_the_sources():
    stream = decoder()
    pieces = (chunk(citationMetadata={"citations": [{"uri": f"https://{each}.test"}]}) for each in range(1000))
    with pytest.raises(UpstreamProtocolError):
        stream.feed(pieces)


def test_what_is_told_again_and_again_is_kept_once():
    stream = decoder()
    told: dict[str, Any] = {"groundingMetadata": {"a": "x" * 1000}, "citationMetadata": CITED}
    stream.feed([*[chunk("x", **told)] * 1000, chunk(finishReason="STOP", **told)])
    stream.end()
    (*_, end) = stream.take()
    assert isinstance(end, UpstreamEnd)
    assert end.provider_metadata["groundingMetadata"] == {"a": "x" * 1000}
