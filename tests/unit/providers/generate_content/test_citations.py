"""Sources of long answers: where they stand, and that thousands of them take no longer than they must."""

import gc
import json
import time
from collections.abc import Iterator

import pytest

from llmproxy_grpc.errors import UpstreamServerError
from llmproxy_grpc.providers.generate_content.citations import Cited, citations_of
from llmproxy_grpc.providers.generate_content.stream import ContentDecoder
from llmproxy_grpc.providers.http_chat import Reply
from llmproxy_grpc.providers.sse import ServerSentEvent
from tests.providers.conversations import ask, assembled

WORD = "wörd 🦜 "


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    # The collector walks over all that the other tests have left, whenever it likes.
    gc.disable()
    yield
    gc.enable()


def cited(start: int, end: int, words: str = "") -> Cited:
    return Cited("u", "t", "", start, end, words.encode())


def test_offsets_are_right_far_into_a_long_text():
    text = WORD * 5000
    size = len(text.encode())
    for place in (0, 7, 1024, 7 * 1024 - 1, 7 * 4999, len(text) - 1, len(text)):
        start = len(text[:place].encode())
        (found,) = citations_of([(0, text[:9000]), (0, text[9000:])], [cited(start, size + 5)])[0]
        assert (found.start_offset, found.end_offset) == (place, len(text))


def test_an_offset_within_a_character_counts_the_whole_ones_before_it():
    text = "é" * 3000
    (found,) = citations_of([(0, text)], [cited(2 * 1024 + 1, 2 * 1025 + 1)])[0]
    assert (found.start_offset, found.end_offset) == (1024, 1025)


def test_words_tell_where_they_are_if_the_offsets_are_wrong():
    said = [(0, "One two three. "), (3, "Two, one, two.")]
    places = citations_of(said, [cited(90, 99, "two"), cited(90, 99, "two."), cited(90, 99, "One"), cited(1, 2, "no")])
    assert [(each.start_offset, each.end_offset) for each in places[0]] == [(4, 7), (0, 3), (0, 0)]
    assert [(each.start_offset, each.end_offset) for each in places[3]] == [(10, 14)]


@pytest.mark.parametrize("words", ["", "words that are not there"])
def test_ten_times_the_text_and_the_sources_take_no_more_than_some_ten_times_as_long(words):
    def seconds(count: int) -> float:
        said = [(number % 50, WORD * 2) for number in range(2 * count)]
        size = len(WORD.encode()) * 4
        sources = [cited(number * size, number * size + 9, words) for number in range(count)]
        start = time.process_time()
        citations_of(said, sources)
        return time.process_time() - start

    seconds(10)
    few = seconds(1000)
    assert seconds(10_000) < 30 * few + 0.5


def test_thousands_of_sources_in_each_chunk_are_read_in_a_moment():
    def chunk(text: str, first: int) -> bytes:
        sources = [{"uri": f"https://x.test/{first + number}", "endIndex": 1} for number in range(8000)]
        part = {"content": {"parts": [{"text": text}]}, "citationMetadata": {"citations": sources}}
        return json.dumps({"candidates": [part]}).encode()

    decoder = ContentDecoder(Reply(ask(), "m", "", lambda _: UpstreamServerError("failed"), lambda: "call_1"))
    start = time.process_time()
    for data in (chunk("a", 0), chunk("b", 4000), b'{"candidates":[{"finishReason":"STOP"}]}'):
        decoder.read(ServerSentEvent("", data))
    decoder.end()
    assert time.process_time() - start < 1
    assert len(assembled(decoder.take()).candidates[0].message.parts[0].citations) == 12_000
