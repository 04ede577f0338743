import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.providers.sse import ServerSentEvent, SseReader
from tests.fakes.faulty_upstream import openai_stream


def read(*chunks: bytes, limit: int = 1000) -> list[tuple[str, bytes]]:
    reader = SseReader(max_event_bytes=limit)
    events = [event for chunk in chunks for event in reader.feed(chunk)] + reader.close()
    return [(event.event, event.data) for event in events]


def reference(stream: bytes) -> list[tuple[str, bytes]]:
    """The specification: one byte after the other, then one line after the other."""
    lines = reference_lines(stream[3:] if stream[:3] == b"\xef\xbb\xbf" else stream)
    events, event, data = [], "", None
    for line in [*lines, b""]:
        if line == b"":
            if data is not None:
                events.append((event, data))
            event, data = "", None
            continue
        name, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if name == b"data":
            data = value if data is None else data + b"\n" + value
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return events


def reference_lines(stream: bytes) -> list[bytes]:
    lines, line, after_cr = [], b"", False
    for number in stream:
        byte = bytes([number])
        if byte == b"\n" and after_cr:
            after_cr = False
            continue
        after_cr = byte == b"\r"
        if byte in (b"\r", b"\n"):
            lines.append(line)
            line = b""
        else:
            line += byte
    return [*lines, line]


# What streams are made of, so that chance puts together both the usual and the odd.
STREAMS = st.lists(
    st.sampled_from(
        [
            b"data: {}\n\n",
            b'data: {"a":"\xf0\x9f\x98\x80"}\n\n',
            b"data:",
            b"data: ",
            b"data",
            b"event: x",
            b"event:",
            b": ping",
            b":",
            b"id: 1",
            b"retry: 5",
            b"datas: y",
            b" ",
            b"x",
            b"\xe2\x80\xa8",
            b"\xc2\x85",
            b"\x0b\x0c\x1c",
            b"\xef\xbb\xbf",
            b"\xff",
            b"\0",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
        ]
    ),
    max_size=20,
).map(b"".join)


@given(stream=STREAMS, cuts=st.lists(st.integers(0, 200), max_size=8))
def test_every_split_of_the_bytes_gives_what_the_specification_gives(stream, cuts):
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    chunks = [stream[start:end] for start, end in itertools.pairwise(places)]
    assert read(*chunks) == reference(stream)


@given(STREAMS)
def test_single_bytes_give_the_same_as_the_whole(stream):
    assert read(*(bytes([byte]) for byte in stream)) == read(stream)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_break_the_reader(stream):
    assert read(stream) == reference(stream)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"data: a\n\n", [("", b"a")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a \n\n", [("", b" a ")]),
        (b"data: a\ndata: b\ndata:\n\n", [("", b"a\nb\n")]),
        (b"data\n\n", [("", b"")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [("x", b"a"), ("", b"b")]),
        (b"event: x\n\ndata: b\n\n", [("", b"b")]),
        (b": ping\n\n: OPENROUTER PROCESSING\n\ndata: a\n\n", [("", b"a")]),
        (b"id: 1\nretry: 5\ndata: a\n\n", [("", b"a")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [("", b"a")]),
        (b"data: a\xe2\x80\xa8b\xc2\x85c\n\n", [("", b"a\xe2\x80\xa8b\xc2\x85c")]),
        (b"data: a\n\ndata: unfinished", [("", b"a"), ("", b"unfinished")]),
        (b"data: a\n", [("", b"a")]),
        (b"event: x", []),
    ],
)
def test_the_rules_of_event_streams(stream, events):
    assert read(stream) == events
    assert read(*(bytes([byte]) for byte in stream)) == events


def test_an_event_is_given_with_the_piece_that_ends_it():
    reader = SseReader()
    assert reader.feed(b"data: a\n") == []
    assert reader.feed(b"\nda") == [ServerSentEvent("", b"a")]
    assert reader.feed(b"ta: b\r\n\r") == [ServerSentEvent("", b"b")]
    assert reader.feed(b"\ndata: c\n\n") == [ServerSentEvent("", b"c")]
    assert reader.close() == []


def test_an_openai_stream_is_one_event_a_piece():
    pieces = openai_stream(["Hel", "lo"])
    assert [data for _, data in read(*pieces)] == [piece[6:-2] for piece in pieces]
    assert read(b"".join(pieces), limit=10_000) == read(*pieces)


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * 101,
        b"data: " + b"x" * 101 + b"\n\n",
        b"data: y\n\n" * 30 + b"data: " + b"x" * 101 + b"\n\n",
        b"data: 123456789\n" * 11,
        b": " + b"x" * 101,
        b": " + b"x" * 101 + b"\n",
    ],
)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_an_event_or_line_beyond_the_limit_is_an_error_in_every_split(stream, step):
    chunks = [stream[start : start + step] for start in range(0, len(stream), step)]
    with pytest.raises(UpstreamProtocolError):
        read(*chunks, limit=100)


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_many_small_events_and_comments_never_reach_the_limit(step):
    stream = (b"data: 0123456789\n\n" + b": ping\n" * 10) * 50
    chunks = [stream[start : start + step] for start in range(0, len(stream), step)]
    assert len(read(*chunks, limit=100)) == 50


@pytest.mark.parametrize("event", [b"data: " + b"x" * 200_000, b"data: 0123456789\n" * 12_000])
def test_the_time_is_linear_even_in_single_bytes(event):
    reader = SseReader()
    start = time.process_time()
    for index in range(len(event)):
        reader.feed(event[index : index + 1])
    (found,) = reader.feed(b"\n\n")
    assert len(found.data) in (200_000, 12_000 * 11 - 1)
    # Quadratic would be minutes.
    assert time.process_time() - start < 10


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_an_error_that_stands_bare_in_a_stream_is_an_event_at_its_end_where_that_is_wanted(step):
    stream = b'data: a\n\n{\n  "error": {\n    "code": 503\n  }\n}\n'
    reader = SseReader(keep_bare_json=True)
    events = [event for start in range(0, len(stream), step) for event in reader.feed(stream[start : start + step])]
    assert [event.data for event in events] == [b"a"]
    (last,) = reader.close()
    assert last.data == b'{\n  "error": {\n    "code": 503\n  }\n}'
    assert reader.close() == []
    assert read(stream) == [("", b"a")]


def test_bare_lines_cost_bounded_memory():
    reader = SseReader(keep_bare_json=True)
    for _ in range(100):
        assert reader.feed(b"{" + b"x" * 1000 + b"\n") == []
    (last,) = reader.close()
    assert len(last.data) <= 65_536 + 100
