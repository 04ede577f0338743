"""What is erased while an export runs does not leave any more, however long its message has waited."""

import asyncio
import time
from functools import partial
from hashlib import sha256

import pytest

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.export.production import Production
from llmproxy_grpc.export.thread import ExportThread
from llmproxy_grpc.records.erasure import erase
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.store import Batch, Erase
from llmproxy_grpc.server import export
from llmproxy_grpc.server.export_writer import ExportWriter
from tests.fakes.exports import Got, a_chat

FORMS = pytest.mark.parametrize("form", [pb.EXPORT_FORMAT_OPENAI_CHAT, pb.EXPORT_FORMAT_RECORDS])
SLOWEST = 65_536
"""Bytes a second, about one message of the usual size."""


def written(got):
    return [record.seq for record in got.records] or [int(answer) + 1 for answer in got.answers]


@FORMS
async def test_a_message_made_before_an_erasure_is_made_anew_without_it(server, writer, reader, monkeypatch, form):
    writer.write(Batch(entries=[a_chat(f"{number} " * 600, f"{number}") for number in range(60)]))
    monkeypatch.setattr(export, "LEASE", 0.02)
    looked = []
    really = ExportThread.intact

    async def erasing(thread, piece):
        looked.append(piece.seqs)
        if len(looked) == 5:
            record = reader.records("default", [piece.seqs[-1]])[piece.seqs[-1]]
            writer.erase(Erase(tenant="default", id=record.id), "asked")
        return await really(thread, piece)

    monkeypatch.setattr(ExportThread, "intact", erasing)
    got = await server.all(output=pb.ExportOutput(format=form), max_chunk_bytes=4096, max_bytes_per_second=SLOWEST)
    gone = looked[4][-1]
    assert written(got) == [seq for seq in range(1, 61) if seq != gone]
    assert all(file.sha256 == sha256(got.data).digest() for file in got.files)
    assert got.summary.written_records == 59
    assert [answer.sequence for answer in got.messages] == list(range(len(got.messages)))


@pytest.fixture
def of_ann_and_bob(writer):
    """Records, every other of which is Ann's, that fill some messages."""
    entries = [
        a_chat(f"{number} " * 4000, f"{number}", end_user="ann" if number % 2 else "bob") for number in range(16)
    ]
    writer.write(Batch(entries=entries))


async def begun(server, form):
    """An export whose second message with data is held back by its rate, and what has come of it."""
    output = pb.ExportOutput(format=form)
    messages = aiter(server.stub.Export(pb.ExportRequest(output=output, max_bytes_per_second=SLOWEST)))
    return messages, [await anext(messages), await anext(messages)]


@FORMS
async def test_what_is_erased_while_the_rate_holds_it_back_never_leaves(
    server, writer, monkeypatch, of_ann_and_bob, form
):
    monkeypatch.setattr(export, "LEASE", 0.1)
    messages, came = await begun(server, form)
    writer.erase(Erase(end_user="ann"), "asked")
    rest = [answer async for answer in messages]
    here, all_of_them = written(Got(came)), written(Got([*came, *rest]))
    assert all_of_them == [seq for seq in range(1, 17) if seq % 2 or seq in here]
    assert rest[-1].summary.written_records == len(all_of_them)


@FORMS
async def test_once_an_erasure_has_been_acknowledged_nothing_of_it_leaves(
    server, open_store, tmp_path, monkeypatch, of_ann_and_bob, form
):
    really, late = ExportWriter.send, []

    async def sending(writer, message, position):
        if erasing.done():
            late.append(message)
        await really(writer, message, position)

    messages, came = await begun(server, form)
    asked = partial(erase, Places(tmp_path / "records"), open_store, Erase(end_user="ann"), clock_us=lambda: 1)
    erasing = asyncio.ensure_future(asyncio.to_thread(asked))
    monkeypatch.setattr(ExportWriter, "send", sending)
    rest = [answer async for answer in messages]
    assert await erasing
    assert len(late) > 1
    assert all(seq % 2 for seq in written(Got(late)))
    assert set(written(Got([*came, *rest]))) >= set(range(1, 17, 2))


async def test_the_lease_of_a_record_begins_before_it_is_read(server, writer, monkeypatch):
    """Rendering may take longer than a lease: hostile text, say, that is looked through for what is to be hidden."""
    writer.write(Batch(entries=[a_chat("x" * 3000, f"{number}") for number in range(8)]))
    monkeypatch.setattr(export, "LEASE", 0.05)
    really, looked = Production._made, []

    def slow(production, picks):
        made = really(production, picks)
        time.sleep(0.1)
        return made

    intact = ExportThread.intact

    async def looking(thread, piece):
        looked.extend(piece.seqs)
        return await intact(thread, piece)

    monkeypatch.setattr(Production, "_made", slow)
    monkeypatch.setattr(ExportThread, "intact", looking)
    assert written(await server.all(max_chunk_bytes=4096)) == sorted(set(looked)) == list(range(1, 9))
