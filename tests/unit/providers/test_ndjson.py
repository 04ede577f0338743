from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.providers.ndjson import LineReader

BODY = b'{"a":1}\n\n{"b":"\xf0\x9f\xa6\x9c"}\r\n  {"c":3}\n{"d":4}'
LINES = [b'{"a":1}', b'{"b":"\xf0\x9f\xa6\x9c"}', b'{"c":3}', b'{"d":4}']


@given(st.lists(st.integers(0, len(BODY)), max_size=8))
def test_lines_are_the_same_however_the_network_splits_them(cuts):
    reader, lines = LineReader(), []
    edges = [0, *sorted(cuts), len(BODY)]
    for start, end in pairwise(edges):
        lines += reader.feed(BODY[start:end])
    assert lines + reader.close() == LINES


@pytest.mark.parametrize("chunks", [[b"x" * 11], [b"x" * 6, b"x" * 6], [b"ok\n" + b"x" * 11]])
def test_a_line_that_is_too_long_is_refused(chunks):
    reader = LineReader(max_line_bytes=10)
    with pytest.raises(UpstreamProtocolError):
        for chunk in chunks:
            reader.feed(chunk)


def test_nothing_is_left_of_a_stream_that_ends_well():
    reader = LineReader()
    assert reader.feed(b"a\n") == [b"a"]
    assert reader.close() == []
