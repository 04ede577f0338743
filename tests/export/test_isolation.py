"""What an export costs the others: nothing once its reader is gone, little while that does not read."""

import asyncio
import threading
import time

import grpc
import pytest

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.calls import Caller, Scope
from llmproxy_grpc.export import scan
from llmproxy_grpc.export.reading import read_bodies
from llmproxy_grpc.export.thread import ExportThread
from llmproxy_grpc.records.filters import FeedbackCondition, Filter, LabelCondition, Window
from llmproxy_grpc.records.sql import condition
from llmproxy_grpc.records.store import Batch, Page
from llmproxy_grpc.server import export, export_writer
from tests.fakes.exports import Exporting, a_chat, exporting
from tests.fakes.polling import until
from tests.fakes.records import a_judgement, rows_of

SOON = 10.0
"""Seconds; the promise is one, and the machine is busy."""


def fill(writer, count, size):
    for start in range(0, count, 100):
        writer.write(Batch(entries=[a_chat(f"{number} " * (size // 4), "x") for number in range(start, start + 100)]))


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("export")]


async def test_a_reader_that_leaves_frees_the_thread_and_its_place(server, writer):
    fill(writer, 2000, 8000)
    for _ in range(5):
        call = server.stub.Export(pb.ExportRequest())
        async for answer in call:
            if answer.HasField("chunk"):
                break
        call.cancel()
        await until(lambda: not threads(), within=SOON)
        await until(lambda: server.servicer.running == 0, within=SOON)
    assert (await server.all()).summary.written_records == 2000


async def test_a_reader_that_leaves_while_a_plan_is_made_ends_that(server, writer):
    fill(writer, 3000, 4000)
    near = pb.ExportSelection(deduplication=pb.DEDUPLICATION_NEAR)
    call = server.stub.Export(pb.ExportRequest(selection=near))
    await until(threads, within=SOON)
    await asyncio.sleep(0.1)
    call.cancel()
    await until(lambda: not threads(), within=SOON)
    plans = server.folder / "plans"
    assert not plans.exists() or list(plans.iterdir()) == []


async def test_a_caller_that_leaves_while_its_export_ends_frees_the_place(server, writer, monkeypatch):
    fill(writer, 100, 100)
    really = ExportThread.aclose

    async def left(thread):
        await really(thread)
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(ExportThread, "aclose", left)
        for _ in range(export.MOST_AT_ONCE):
            with pytest.raises(grpc.aio.AioRpcError):
                await server.all()
    assert server.servicer.running == 0
    assert (await server.all()).summary.written_records == 100


async def test_a_reader_that_does_not_read_costs_bounded_memory_and_is_told_in_the_end(open_store, writer, tmp_path):
    fill(writer, 2000, 16_000)
    steps = []
    async with exporting(open_store, tmp_path, write_timeout=0.5) as server:
        call = server.stub.Export(pb.ExportRequest())
        await call.read()
        await until(lambda: server.servicer.running == 0, within=SOON)
        await until(lambda: not threads(), within=SOON)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            while (answer := await call.read()) is not grpc.aio.EOF:
                steps.append(answer)
        assert caught.value.code() is grpc.StatusCode.ABORTED
        sent = sum(len(answer.chunk.data) for answer in steps)
        assert sent < 24 * 1024 * 1024
        whole = await server.all()
        rest = await server.all(pb.ExportRequest(resume_token=steps[-1].resume_token))
    assert whole.data.endswith(rest.data)
    assert len(whole.data) == sent + len(rest.data)


async def test_a_third_export_at_once_is_refused_for_a_while(server, writer):
    fill(writer, 2000, 16_000)
    running = [server.stub.Export(pb.ExportRequest()) for _ in range(2)]
    for call in running:
        await call.read()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.all()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert ("grpc-retry-pushback-ms", "5000") in tuple(caught.value.trailing_metadata())
    for call in running:
        call.cancel()
    await until(lambda: server.servicer.running == 0, within=SOON)
    assert (await server.all()).summary.written_records == 2000


async def test_silence_is_filled_with_heartbeats(server, writer, monkeypatch):
    fill(writer, 1000, 4000)
    monkeypatch.setattr(export_writer, "HEARTBEAT", 0.01)
    monkeypatch.setattr(scan, "read_bodies", lambda *asked: time.sleep(0.1) or read_bodies(*asked))
    got = await server.all(filter=pb.ExportFilter(texts=[pb.TextCondition(contains="nowhere to be found")]))
    kinds = [answer.WhichOneof("payload") for answer in got.messages]
    assert "heartbeat" in kinds[1:-1]
    assert [answer.sequence for answer in got.messages] == list(range(len(kinds)))
    beating = got.messages[1 + kinds[1:].index("heartbeat")]
    rest = await server.all(
        pb.ExportRequest(
            filter=pb.ExportFilter(texts=[pb.TextCondition(contains="nowhere to be found")]),
            resume_token=beating.resume_token,
        )
    )
    assert rest.summary.matched_records == 0


async def test_no_more_bytes_leave_in_a_second_than_asked_for(server, writer):
    fill(writer, 100, 2000)
    size = len((await server.all()).data)
    begun = time.monotonic()
    got = await server.all(max_bytes_per_second=size * 2, max_chunk_bytes=4096)
    assert time.monotonic() - begun > 0.4
    assert len(got.data) == size


@pytest.fixture
def three(writer):
    """Three tenants with records that differ in nothing else."""
    for tenant in ("a", "b", "c"):
        chats = [a_chat("q", f"{tenant}{number}", tenant=tenant, labels={"k": "v"}) for number in range(10)]
        writer.write(Batch(entries=chats))
        writer.write(Batch(feedback=[a_judgement(chat.record.id, tenant=tenant) for chat in chats]))


EVERYTHING = [
    pb.ExportRequest(),
    pb.ExportRequest(filter=pb.ExportFilter(labels=[pb.LabelCondition(key="k")])),
    pb.ExportRequest(filter=pb.ExportFilter(feedback=[pb.FeedbackCondition(name="helpful", thumbs_up=True)])),
    pb.ExportRequest(filter=pb.ExportFilter(none_of=[pb.ExportFilter(labels=[pb.LabelCondition(key="none")])])),
    pb.ExportRequest(filter=pb.ExportFilter(texts=[pb.TextCondition(contains="q")])),
    pb.ExportRequest(selection=pb.ExportSelection(order=pb.EXPORT_ORDER_SHUFFLED)),
]


def as_tenant(server: Exporting, tenant: str) -> Exporting:
    server.caller = Caller(tenant=tenant)
    return server


@pytest.mark.parametrize("request_", EVERYTHING, ids=range(len(EVERYTHING)))
async def test_everybody_gets_his_own_records_alone(server, three, request_):
    for tenant in ("a", "b", "c", "nobody"):
        answers = (await as_tenant(server, tenant).all(request_)).answers
        assert sorted(answers) == [f"{tenant}{number}" for number in range(10 if tenant != "nobody" else 0)]


async def test_records_of_others_are_not_had_by_their_ids(server, writer, three):
    [foreign, *_] = (await as_tenant(server, "b").all(output=pb.ExportOutput(format=pb.EXPORT_FORMAT_RECORDS))).records
    got = await as_tenant(server, "a").all(filter=pb.ExportFilter(record_ids=[foreign.id]))
    assert got.data == b""


async def test_plans_of_others_are_not_there(server, three):
    plan = (await as_tenant(server, "a").all(plan_only=True)).header.plan_id
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await as_tenant(server, "b").all(plan_id=plan)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert len((await as_tenant(server, "a").all(plan_id=plan)).answers) == 10
    same = (await as_tenant(server, "b").all(plan_only=True)).header.plan_id
    assert same != plan


async def test_whoever_lacks_the_scope_gets_nothing(server, three):
    server.caller = Caller(tenant="a", scopes=frozenset(Scope) - {Scope.EXPORT})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.all()
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_at_the_store_a_condition_reaches_no_other_tenant(reader, three):
    window = Window("a", 0, 10**6, 10**6)
    for asked in (Filter(), Filter(labels=(LabelCondition("k"),)), Filter(feedback=(FeedbackCondition("helpful"),))):
        page = Page(tenant="b", as_of_seq=10**6, condition=condition(asked, window))
        assert {record.tenant for record in rows_of(reader, page)} <= {"b"}
    foreign = [record.seq for record in rows_of(reader, Page(tenant="b", as_of_seq=10**6))]
    assert len(foreign) == 10
    assert reader.records("a", foreign) == reader.bodies("a", foreign) == reader.lines("a", foreign) == {}
