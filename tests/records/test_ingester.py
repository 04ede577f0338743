"""From the spool into the store: each frame once, whatever breaks in between."""

import os
import random
from uuid import UUID

import pytest

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2
from llmproxy_grpc.records.record import FeedbackKind
from llmproxy_grpc.records.spool import reading
from llmproxy_grpc.records.spool.entries import Judged, encode
from llmproxy_grpc.records.spool.frames import frame
from llmproxy_grpc.records.spool.segments import create_locked, segments
from llmproxy_grpc.records.store import Batch, Erase, StoreRefused, StoreUnavailable
from llmproxy_grpc.records.tally import Loss
from tests.fakes.ingester_bench import frames
from tests.fakes.records import an_id
from tests.fakes.spooled import a_begin, an_end, id_bytes, new_id


def test_frames_become_rows_and_the_file_goes_behind_the_commit(bench):
    ends = [an_end() for _ in range(5)]
    path = bench.segment(frames(a_begin(ends[0].id), *ends))
    assert bench.ingester.move() == 5
    assert not path.exists()
    assert bench.ids() == [end.id for end in ends]
    assert bench.writer.open_calls() == []
    assert (bench.tally.stored, bench.dropped()) == (5, {})
    bench.ingester.move()
    assert bench.writer.progress() == {}


def test_segments_that_are_gone_are_forgotten_also_by_the_next_ingester(bench):
    bench.segment(frames(an_end()))
    bench.ingester.move()
    assert list(bench.writer.progress()) == ["000-a-00000001.spool"]
    bench.begin().move()
    assert bench.writer.progress() == {}


def test_segments_go_in_worker_by_worker_in_their_order(bench):
    ends = [an_end() for _ in range(4)]
    bench.segment(frames(ends[1]), 2)
    bench.segment(frames(ends[0]), 1)
    bench.segment(frames(ends[3]), 10, "001-b")
    bench.segment(frames(ends[2]), 9, "001-b")
    bench.drain()
    assert bench.ids() == [end.id for end in ends]


def test_a_segment_that_is_written_to_is_read_as_far_as_it_goes_and_stays(bench):
    first, second = an_end(), an_end()
    path = bench.folder / "000-a-00000001.spool"
    descriptor = create_locked(path)
    whole, rest = frames(first), frames(second)
    os.write(descriptor, whole + rest[:20])
    assert (bench.ingester.move(), bench.ingester.move()) == (1, 0)
    os.write(descriptor, rest[20:])
    assert bench.ingester.move() == 1
    assert path.exists()
    os.close(descriptor)
    bench.drain()
    assert bench.ids() == [first.id, second.id]
    assert bench.dropped() == {}


def test_whatever_is_read_twice_is_stored_once(bench):
    ends = [an_end() for _ in range(3)]
    path = bench.segment(frames(*ends))
    data = path.read_bytes()
    bench.ingester.move()
    bench.segment(data)  # as if the power had gone between the commit and the deletion
    bench.ingester = bench.begin()
    bench.drain()
    bench.segment(data, 2)
    bench.drain()
    assert bench.ids() == [end.id for end in ends]
    assert bench.tally.stored == 3


def test_a_store_that_fails_has_taken_nothing_and_everything_comes_again(bench, monkeypatch):
    ends = [an_end() for _ in range(3)]
    bench.segment(frames(a_begin(ends[0].id), *ends, a_begin(new_id())) + b"\x05torn")

    def unavailable(batch: Batch):
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(bench.writer, "write", unavailable)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                bench.ingester.move()
    assert bench.dropped() == {}
    bench.drain()
    assert bench.ids() == [end.id for end in ends]
    assert bench.dropped() == {Loss.DAMAGED: 1}
    assert len(bench.writer.open_calls()) == 1


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_whose_answer_was_lost_is_counted_once(bench, monkeypatch, committed):
    ends = [an_end() for _ in range(3)]
    bench.segment(frames(*ends) + b"\x05torn")
    really = bench.writer.write

    def cut_off(batch: Batch):
        if committed:
            really(batch)
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(bench.writer, "write", cut_off)
        with pytest.raises(StoreUnavailable):
            bench.ingester.move()
    before, bench.ingester = bench.ingester, bench.begin()
    bench.ingester.settle(before.doubt)
    bench.drain()
    assert bench.ids() == [end.id for end in ends]
    assert (bench.tally.stored, bench.dropped()) == (3, {Loss.DAMAGED: 1})
    assert bench.ingester.doubt is None


def test_every_cut_of_the_last_frames_leaves_a_prefix(bench):
    """Of four frames, at every byte: what is whole is stored, what is not is set aside, and nothing is made up."""
    ends = [an_end(reply="r" * size) for size in (1, 30, 5, 60)]
    whole = [frames(end) for end in ends]
    data = b"".join(whole)
    edges = [sum(map(len, whole[:count])) for count in range(5)]
    for cut in range(len(data) + 1):
        path = bench.segment(data[:cut], cut)
        segment = next(each for each in segments(bench.folder) if each.path == path)
        portion = reading.read_portion(segment, 0)
        expected = sum(edge <= min(cut, len(data)) for edge in edges[1:])
        assert len(portion.payloads) == expected
        assert b"".join(map(frame, portion.payloads)) == data[: edges[expected]]
        assert portion.finished
        assert b"".join(portion.damaged) == data[edges[expected] : cut]
        path.unlink()


@pytest.mark.parametrize("seed", range(3))
def test_random_damage_never_reaches_the_store(bench, seed):
    chance = random.Random(seed)
    ends = [an_end(reply="r" * chance.randrange(400)) for _ in range(40)]
    sent = {end.id: end for end in ends}
    for number, end in enumerate(ends):
        data = bytearray(frames(end) * 2)
        for _ in range(chance.randrange(3)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        bench.segment(bytes(data[: chance.randrange(len(data) + 1)]), number + 1)
    bench.drain()
    stored = bench.records()
    reader = bench.store.reader()
    for record in stored:
        body = reader.bodies("default", [record.seq])[record.seq]
        assert body.response == sent[str(UUID(bytes=record.id))].response
    reader.close()
    assert len({record.id for record in stored}) == len(stored)


@pytest.mark.parametrize(
    "poison",
    [
        b"\x93\xa5ended",
        encode(an_end(request=b"\xff\xff\xff")),
        encode(an_end(id="no id")),
        encode(an_end(response=b"\x0a\xff")),
        encode(an_end(events=[b"\xff"], response=b"", method="Stream")),
        b"nonsense",
    ],
)
def test_a_frame_that_makes_no_sense_is_set_aside_and_counted(bench, poison):
    before, behind = an_end(), an_end()
    bench.segment(frames(before) + frame(poison) + frames(behind))
    bench.drain()
    assert bench.ids() == [before.id, behind.id]
    assert bench.dropped() == {Loss.REFUSED: 1}
    [file] = bench.quarantined.iterdir()
    assert file.read_bytes() == poison
    assert file.stat().st_mode & 0o777 == 0o600


def test_rows_that_the_store_refuses_are_found_by_halving_and_stop_nobody(bench, monkeypatch):
    ends = [an_end() for _ in range(100)]
    bad = {id_bytes(end.id) for end in (ends[3], ends[50], ends[99])}
    judged = Judged(an_id(), "default", id_bytes(ends[0].id), "helpful", 1, 1.0, None, "user", 5)
    really = bench.writer.write

    def write(batch: Batch):
        if any(entry.record.id in bad for entry in batch.entries):
            raise StoreRefused("one of them")
        return really(batch)

    monkeypatch.setattr(bench.writer, "write", write)
    bench.segment(frames(*ends, judged))
    bench.drain()
    assert len(bench.ids()) == 97
    assert bench.dropped() == {Loss.REFUSED: 3}
    assert {file.name for file in bench.quarantined.iterdir()} == {f"{each.hex()}.bin" for each in bad}
    reader = bench.store.reader()
    assert len(reader.feedback("default", [judged.record_id], 10)[judged.record_id]) == 1
    reader.close()


@pytest.mark.parametrize("answered", [True, False])
def test_what_is_refused_or_erased_is_counted_once_though_the_store_goes_away_in_between(bench, monkeypatch, answered):
    ends = [an_end() for _ in range(8)]
    bad, gone = id_bytes(ends[1].id), id_bytes(ends[2].id)
    bench.writer.erase(Erase(id=gone), "request")
    really, away = bench.writer.write, []

    def write(batch: Batch):
        if any(entry.record.id == bad for entry in batch.entries):
            raise StoreRefused("one of them")
        if batch.entries or away:
            return really(batch)
        away.append(batch)
        if answered:  # else it is the answer alone that is lost
            raise StoreUnavailable("gone")
        really(batch)
        raise StoreUnavailable("gone")

    monkeypatch.setattr(bench.writer, "write", write)
    bench.segment(frames(*ends))
    with pytest.raises(StoreUnavailable):
        bench.ingester.move()
    doubt = bench.ingester.doubt
    bench.ingester = bench.begin()
    bench.ingester.settle(doubt)
    bench.drain()
    assert bench.ids() == [end.id for end in ends if id_bytes(end.id) not in (bad, gone)]
    assert bench.dropped() == {Loss.REFUSED: 1, Loss.ERASED: 1}
    assert bench.tally.stored == 6


def test_what_was_erased_while_it_waited_is_not_stored(bench):
    end = an_end()
    bench.writer.erase(Erase(id=id_bytes(end.id)), "request")
    bench.segment(frames(end))
    bench.drain()
    assert bench.ids() == []
    assert bench.dropped() == {Loss.ERASED: 1}


def test_judgements_go_the_same_way(bench):
    record = an_id()
    judged = [
        Judged(an_id(), "default", record, "helpful", kind, number, content, "user", 5)
        for kind, number, content in ((1, 1.0, None), (2, 0.5, None), (3, None, b"words"), (4, None, b"message"))
    ]
    bench.segment(frames(*judged))
    bench.drain()
    reader = bench.store.reader()
    kinds = [each.kind for each in reader.feedback("default", [record], 10)[record]]
    reader.close()
    assert kinds == list(FeedbackKind)


def test_a_frame_larger_than_a_portion_is_read_whole(bench, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", 1000)
    ends = [an_end(reply="r" * 5000), an_end(), an_end(reply="r" * 3000)]
    bench.segment(frames(*ends))
    bench.drain()
    assert bench.ids() == [end.id for end in ends]


def test_a_conversation_is_linked_within_a_batch_and_across_batches(bench):
    def turn(before: chat_pb2.ChatRequest, reply: content_pb2.Message, started_at: int):
        request = chat_pb2.ChatRequest()
        request.CopyFrom(before)
        request.messages.append(reply)
        request.messages.add(role=content_pb2.ROLE_USER).parts.add(text="go on")
        return an_end(request=request.SerializeToString(), started_at=started_at), request

    first = an_end(started_at=1)
    request = chat_pb2.ChatRequest.FromString(first.request)
    reply = chat_pb2.ChatResponse.FromString(first.response).candidates[0].message
    second, request = turn(request, reply, 2)
    third, _ = turn(request, reply, 3)
    bench.segment(frames(third, first, second))  # as workers may deliver them
    bench.drain()
    fourth = an_end(request=chat_pb2.ChatRequest.FromString(third.request).SerializeToString(), started_at=4)
    bench.segment(frames(fourth), 2)
    bench.drain()
    by_id = {str(UUID(bytes=record.id)): record for record in bench.records()}
    assert {record.conversation for record in by_id.values()} == {first.id}
    assert by_id[second.id].parent_id == id_bytes(first.id)
    assert by_id[third.id].parent_id == id_bytes(second.id)
    assert by_id[fourth.id].parent_id == id_bytes(second.id)
    assert by_id[first.id].parent_id is None


def test_the_counters_add_up(bench):
    """accepted = stored + spooled + dropped, with damage, refusals, repeats and erasure."""
    ends = [an_end() for _ in range(10)]
    bench.tally.accept(10)
    bench.writer.erase(Erase(id=id_bytes(ends[9].id)), "request")
    torn = frames(ends[7])
    bench.segment(frames(*ends[:5]) + frame(encode(an_end(ends[5].id, request=b"\xff"))) + frames(ends[9]) + torn[:-1])
    held = bench.folder / "001-b-00000001.spool"
    lock = create_locked(held)
    os.write(lock, frames(ends[6]))
    os.write(lock, frames(ends[8])[:10])
    bench.ingester.move()
    spooled = 1
    states = bench.tally.states()
    assert states["accepted"] == states["stored"] + spooled + states["dropped"] == 10
    assert bench.dropped() == {Loss.REFUSED: 1, Loss.ERASED: 1, Loss.DAMAGED: 1}
    os.close(lock)
