"""Segments with damage in the middle: what is before it is stored, all the rest is set aside, and the end reached."""

import pytest

from llmproxy_grpc.records.spool import reading
from llmproxy_grpc.records.spool.frames import LONGEST
from llmproxy_grpc.records.tally import Loss
from tests.fakes.ingester_bench import frames
from tests.fakes.spooled import an_end

LARGE = 300 * 1024


def large_segment(length: int, *, damaged: int) -> tuple[list, bytes, int]:
    """Twenty ends in 6 MiB, of which one has another length in its head; and where that one begins."""
    ends = [an_end(reply="r" * LARGE) for _ in range(20)]
    whole = [frames(end) for end in ends]
    at = sum(map(len, whole[:damaged]))
    data = bytearray(b"".join(whole))
    data[at : at + 4] = length.to_bytes(4, "little")
    assert len(data) > reading.MOST_BYTES + LARGE
    return ends, bytes(data), at


@pytest.mark.parametrize("damaged", [0, 1, 13, 16, 19])
@pytest.mark.parametrize("length", [0, LONGEST + 1, LONGEST, 7 * 1024 * 1024])
def test_behind_a_damaged_length_everything_is_set_aside_to_the_end_of_the_file(bench, length, damaged):
    ends, data, at = large_segment(length, damaged=damaged)
    bench.segment(data)
    bench.drain()
    assert bench.ids() == [end.id for end in ends[:damaged]]
    [file] = bench.quarantined.iterdir()
    assert file.read_bytes() == data[at:]
    assert bench.dropped() == {Loss.DAMAGED: 1}


def test_a_damaged_length_within_the_file_loses_no_byte_unseen(bench):
    ends, data, at = large_segment(1000, damaged=2)
    bench.segment(data)
    bench.drain()
    assert bench.ids() == [end.id for end in ends[:2]]
    pieces = sorted(bench.quarantined.iterdir(), key=lambda file: data.find(file.read_bytes()))
    assert b"".join(piece.read_bytes() for piece in pieces) == data[at:]
    assert bench.dropped() == {Loss.DAMAGED: len(pieces)}
