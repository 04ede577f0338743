"""Binary event streams: as botocore reads them, however the network splits them, and never when garbled."""

import struct
from itertools import pairwise
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.providers.eventstream import Frame, FrameReader
from tests.fakes.eventstream import frame

events = st.lists(
    st.tuples(
        st.text("abcXYZ", min_size=1, max_size=12), st.binary(max_size=40), st.sampled_from(["event", "exception"])
    ),
    max_size=5,
)


def read(body: bytes, cuts: list[int]) -> list[Frame]:
    reader = FrameReader()
    frames = [each for start, end in pairwise([0, *cuts, len(body)]) for each in reader.feed(body[start:end])]
    return [*frames, *reader.close()]


@given(events, st.data())
def test_frames_are_those_that_botocore_reads_however_they_are_split(listed, data):
    body = b"".join(frame(name, payload, message_type=kind) for name, payload, kind in listed)
    theirs = EventStreamBuffer()
    theirs.add_data(body)
    expected = [
        Frame(
            event.headers[":message-type"],
            event.headers[f":{event.headers[':message-type']}-type"],
            bytes(event.payload),
        )
        for event in theirs
    ]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    assert read(body, cuts) == expected


@given(st.data())
def test_no_garbled_byte_goes_unseen(data):
    body = bytearray(frame("contentBlockDelta", b'{"delta":{"text":"Hello"}}'))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(UpstreamProtocolError):
        read(bytes(body) + b"\0" * 64, [])


def test_values_of_every_type_are_passed_over():
    head = b"".join(
        (
            b"\x01a\x00",
            b"\x01b\x01",
            b"\x01c\x02\x05",
            b"\x01d\x03\x00\x05",
            b"\x01e\x04" + b"\0" * 4,
            b"\x01f\x05" + b"\0" * 8,
            b"\x01g\x06\x00\x02xx",
            b"\x01h\x08" + b"\0" * 8,
            b"\x01i\x09" + b"\0" * 16,
            b"\x0b:event-type\x07\x00\x04name",
        )
    )
    assert read(made(head), []) == [Frame("event", "name", b"{}")]


@pytest.mark.parametrize("head", [b"\x05abc", b"\x01a", b"\x01a\x07\x00", b"\x01\xff\x00", b"\x01a\x07\x00\x01\xff"])
def test_headers_that_cannot_be_read_are_no_headers(head):
    with pytest.raises(UpstreamProtocolError):
        read(made(head), [])


@pytest.mark.parametrize(
    ("total", "headers"), [(0, 0), (15, 0), (16 * 1024 * 1024 + 1, 0), (20, 5), (1024 * 1024, 128 * 1024 + 1)]
)
def test_an_absurd_length_is_refused_at_once(total, headers):
    prelude = struct.pack(">II", total, headers)
    with pytest.raises(UpstreamProtocolError):
        read(prelude + struct.pack(">I", crc32(prelude)), [])


def test_half_a_frame_at_the_end_is_none():
    body = frame("a", b"{}")
    assert read(body + body[:-1], []) == [Frame("event", "a", b"{}")]


def test_an_error_has_a_code_and_words_where_others_have_a_type():
    body = frame("InternalFailure", b"", message_type="error", more={":error-message": "It broke."})
    assert read(body, []) == [Frame("error", "InternalFailure", b"", "It broke.")]


def made(head: bytes) -> bytes:
    prelude = struct.pack(">II", 16 + len(head) + 2, len(head))
    body = prelude + struct.pack(">I", crc32(prelude)) + head + b"{}"
    return body + struct.pack(">I", crc32(body))
