"""What a store that was away has left in the spool goes in batches that are bounded, in its order."""

from collections.abc import Sequence

from llmproxy_grpc.records import ingester
from llmproxy_grpc.records.spool import reading
from llmproxy_grpc.records.spool.segments import segments
from tests.fakes.ingester_bench import frames
from tests.fakes.spooled import a_begin, an_end


def test_an_end_never_overtakes_its_begin_in_a_backlog(bench):
    """More begins than are read at once, and the ends in the next segment, the last begun first."""
    ends = [an_end() for _ in range(reading.MOST_FRAMES + 100)]
    bench.segment(frames(*[a_begin(end.id) for end in ends]), 1)
    bench.segment(frames(*reversed(ends)), 2)
    bench.segment(frames(another := an_end()), 1, "001-b")
    while segments(bench.folder):
        bench.ingester.move()
    assert bench.writer.open_calls() == []
    assert bench.ingester.bury() == 0
    assert sorted(bench.ids()) == sorted([another.id, *[end.id for end in ends]])


def test_many_frames_are_moved_in_several_batches(bench, monkeypatch):
    monkeypatch.setattr(reading, "MOST_FRAMES", 10)
    ends = [an_end() for _ in range(95)]
    bench.segment(frames(*ends))
    batches: Sequence[int] = []
    while segments(bench.folder):
        batches = [*batches, bench.ingester.move()]
    assert bench.ids() == [end.id for end in ends]
    assert max(batches) <= 10


def test_a_batch_of_a_backlog_is_bounded_by_its_bytes_as_well(bench, monkeypatch):
    """A store that was away for hours leaves many short segments, and each may hold pictures."""
    monkeypatch.setattr(ingester, "MOST_BYTES", 10_000)
    ends = [an_end(reply="r" * 4000) for _ in range(20)]
    for number, end in enumerate(ends):
        bench.segment(frames(end), number, worker=f"{number % 4:03d}-a")
    batches = []
    while segments(bench.folder):
        batches.append(bench.ingester.move())
        assert bench.ingester.more == bool(segments(bench.folder))
    assert batches == [3] * 6 + [2]
    assert sorted(bench.ids()) == sorted(end.id for end in ends)
