"""Calls whose worker died under them are stored as interrupted; no others are."""

import os

from llmproxy_grpc.records.spool import reading
from llmproxy_grpc.records.spool.segments import ALIVE, create_locked
from tests.fakes.ingester_bench import frames
from tests.fakes.spooled import a_begin, an_end, id_bytes, new_id


def test_calls_whose_worker_died_are_stored_as_interrupted(bench):
    lost, ended = new_id(), an_end()
    bench.segment(frames(a_begin(lost), a_begin(ended.id), ended), worker="003-dead")
    bench.drain()
    assert bench.ids() == [ended.id]
    assert bench.ingester.bury() == 1
    record = bench.records()[1]
    assert (record.id, record.error_reason, record.grpc_code) == (id_bytes(lost), "INTERRUPTED", 14)
    assert (record.method, record.started_at, record.complete) == ("Chat", 1_000, False)
    assert bench.ingester.bury() == 0
    assert bench.writer.open_calls() == []
    assert (bench.tally.accepted, bench.tally.stored) == (1, 2)


def test_calls_whose_worker_died_are_not_interrupted_as_long_as_anything_of_it_is_unread(bench, monkeypatch):
    monkeypatch.setattr(reading, "MOST_FRAMES", 2)
    ends = [an_end(), an_end()]
    bench.segment(frames(*(a_begin(end.id) for end in ends), *ends), worker="003-dead")
    os.close(create_locked(bench.folder / f"003-dead{ALIVE}"))
    bench.ingester.move()
    assert bench.ingester.bury() == 0
    bench.drain()
    assert bench.ingester.bury() == 0
    assert [record.error_reason for record in bench.records()] == ["", ""]


def test_calls_of_a_worker_that_lives_are_not_interrupted(bench):
    lock = create_locked(bench.folder / f"003-face{ALIVE}")
    call = new_id()
    bench.segment(frames(a_begin(call)), worker="003-face")
    bench.drain()
    assert bench.ingester.bury() == 0
    end = an_end(call)
    bench.segment(frames(end), 2, worker="003-face")
    bench.drain()
    assert bench.ids() == [call]
    assert bench.records()[0].error_reason == ""
    os.close(lock)
    assert bench.ingester.bury() == 0


def test_calls_that_began_before_a_restart_of_the_ingester_are_still_known(bench):
    call = new_id()
    bench.segment(frames(a_begin(call)), worker="003-dead")
    bench.drain()
    bench.ingester = bench.begin()
    assert bench.ingester.bury() == 1
