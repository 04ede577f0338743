"""Exports that go on where the one before ended add up, and nothing but the records decides the bytes."""

import asyncio
import itertools
import random
import threading
from hashlib import sha256

import grpc
import pytest
from llmproxy_client import error_detail

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.export import assembly, picks, plans, reading, scan
from llmproxy_grpc.records.store import Batch
from tests.fakes.exports import a_chat
from tests.fakes.records import a_judgement


@pytest.fixture
def small_files(monkeypatch):
    monkeypatch.setattr(assembly, "FILE_BYTES", 9_000)


def some_chats(count):
    odd = {3: {"training_ok": False}, 4: {"keep": False}, 5: {"grpc_code": 13}}
    return [a_chat("x" * (1 + number * 37 % 300), str(number), **odd.get(number % 11, {})) for number in range(count)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("open_store", "enough"), [("sqlite", 1000), ("postgres", 200)], indirect=["open_store"])
async def test_windows_one_after_the_other_are_the_whole_while_records_come(server, writer, enough):
    chance = random.Random(3)
    writer.write(Batch(entries=some_chats(100)))
    over = threading.Event()

    def write_on():
        while not over.wait(0.02):
            writer.write(Batch(entries=some_chats(chance.randrange(1, 9))))

    writing = asyncio.create_task(asyncio.to_thread(write_on))
    made = 0
    try:
        while made < enough:
            whole = await server.all()
            end = whole.header.as_of_seq
            cuts = sorted({0, end, *(random.Random(made).choices(range(end + 1), k=60))})
            got = [
                await server.all(filter=pb.ExportFilter(after_seq=after, as_of_seq=until))
                for after, until in itertools.pairwise(cuts)
            ]
            assert b"".join(one.data for one in got) == whole.data
            assert sum(one.summary.matched_records for one in got) == whole.summary.matched_records
            assert [one.header.as_of_seq for one in got] == cuts[1:]
            made += len(cuts) - 2
    finally:
        over.set()
        await writing
    assert end > 150


async def test_a_tail_that_is_asked_for_while_records_come_sees_each_once(server, writer):
    after, data = 0, b""
    for _ in range(12):
        writer.write(Batch(entries=some_chats(17)))
        got = await server.all(filter=pb.ExportFilter(after_seq=after))
        data += got.data
        after = got.header.as_of_seq
    whole = await server.all()
    assert data == whole.data
    nothing = await server.all(filter=pb.ExportFilter(after_seq=after))
    assert (nothing.data, nothing.header.as_of_seq) == (b"", after)


@pytest.mark.parametrize("named", ["after_seq", "as_of_seq", "as_of_feedback_seq"])
async def test_a_position_that_is_not_there_yet_is_refused(server, writer, named):
    chats = some_chats(7)
    writer.write(Batch(entries=chats))
    writer.write(Batch(feedback=[a_judgement(chat.record.id) for chat in chats]))
    assert (await server.all(filter=pb.ExportFilter(**{named: 7}))).header.as_of_seq == 7
    with pytest.raises(grpc.aio.AioRpcError, match="end at 7") as caught:
        await server.all(filter=pb.ExportFilter(**{named: 8}))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error_detail(caught.value).violations] == [f"filter.{named}"]


async def test_what_came_later_is_not_seen_from_a_moment_before(server, writer):
    chats = some_chats(20)
    writer.write(Batch(entries=chats))
    writer.write(Batch(feedback=[a_judgement(chat.record.id) for chat in chats[::2]]))
    liked = pb.FeedbackCondition(name="helpful", thumbs_up=True)
    first = await server.all(filter=pb.ExportFilter(feedback=[liked]))
    at = {"as_of_seq": first.header.as_of_seq, "as_of_feedback_seq": first.header.as_of_feedback_seq}
    writer.write(Batch(entries=some_chats(5)))
    writer.write(Batch(feedback=[a_judgement(chat.record.id, number=0.0) for chat in chats]))
    assert (await server.all(filter=pb.ExportFilter(feedback=[liked]))).data == b""
    assert (await server.all(filter=pb.ExportFilter(feedback=[liked], **at))).data == first.data


REQUESTS = {
    "plain": pb.ExportRequest(),
    "selected": pb.ExportRequest(
        selection=pb.ExportSelection(
            order=pb.EXPORT_ORDER_SHUFFLED,
            seed=5,
            split=pb.Split(validation_fraction=0.4),
            deduplication=pb.DEDUPLICATION_EXACT,
            sample=pb.Sample(fraction=0.9),
        )
    ),
    "csv": pb.ExportRequest(output=pb.ExportOutput(format=pb.EXPORT_FORMAT_CSV)),
    "words": pb.ExportRequest(filter=pb.ExportFilter(texts=[pb.TextCondition(contains="XX")])),
    "masked": pb.ExportRequest(output=pb.ExportOutput(redaction=pb.Redaction(mode=pb.REDACTION_MODE_TOKEN))),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_neither_pages_nor_chunks_change_a_byte(server, writer, small_files, monkeypatch, name):
    writer.write(Batch(entries=[*some_chats(150), *(a_chat(f"I am a{number}@b.org", "x") for number in range(9))]))
    seen = set()
    for page in (1, 7, 512):
        monkeypatch.setattr(reading, "MOST_ROWS", page)
        monkeypatch.setattr(scan, "FIRST_SPAN", page * 3)
        monkeypatch.setattr(picks, "FIRST_BLOCK", page * 2)
        monkeypatch.setattr(plans, "BLOCK", page * 2)
        for chunk in (4096, 20_000):
            request = pb.ExportRequest(max_chunk_bytes=chunk)
            request.MergeFrom(REQUESTS[name])
            got = await server.all(request)
            assert all(file.sha256 for file in got.files)
            manifest = (tuple(map(str, got.files)), str(got.summary), got.header.plan_id)
            seen.add((sha256(got.data).digest(), manifest))
    assert len(seen) == 1
