"""What a caller hears while nothing can be sent: the header first, then no silence that is longer than promised."""

import time

import pytest

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.export import opening
from llmproxy_grpc.export.planner import build
from llmproxy_grpc.records.store import Batch
from llmproxy_grpc.server import export_writer
from tests.fakes.exports import a_chat

SLOWLY = 65_536
"""Bytes a second, the fewest that may be asked for; a line below takes a second and more."""


@pytest.fixture
def long_lines(writer):
    writer.write(Batch(entries=[a_chat(f"{number}" * 80_000, f"answer {number}") for number in range(3)]))


def kinds(messages):
    return [message.WhichOneof("payload") for message in messages]


@pytest.mark.usefixtures("long_lines")
async def test_a_rate_leaves_no_silence_without_heartbeats(server, monkeypatch):
    whole = await server.all()
    monkeypatch.setattr(export_writer, "HEARTBEAT", 0.1)
    got = await server.all(max_bytes_per_second=SLOWLY)
    first, second = [at for at, kind in enumerate(kinds(got.messages)) if kind == "chunk"][:2]
    assert set(kinds(got.messages[first + 1 : second])) == {"heartbeat"}
    assert [message.sequence for message in got.messages] == list(range(len(got.messages)))
    assert got.data == whole.data
    beating = got.messages[first + 1]
    request = pb.ExportRequest(max_bytes_per_second=SLOWLY, resume_token=beating.resume_token)
    assert got.chunks[0].data + (await server.all(request)).data == whole.data


async def test_a_rate_that_holds_messages_back_for_moments_sends_no_heartbeats(server, writer):
    writer.write(Batch(entries=[a_chat("a" * 5_000, f"answer {number}") for number in range(4)]))
    got = await server.all(max_bytes_per_second=SLOWLY, max_chunk_bytes=4096)
    assert kinds(got.messages) == ["header", *["chunk"] * 4, "file", "summary"]


@pytest.mark.usefixtures("long_lines")
async def test_the_header_is_first_however_long_a_plan_takes(server, monkeypatch):
    planned = []

    def slow(*given, **named):
        time.sleep(1)
        planned.append(given)
        return build(*given, **named)

    monkeypatch.setattr(export_writer, "HEARTBEAT", 0.1)
    monkeypatch.setattr(opening, "build", slow)
    got = await server.all(selection=pb.ExportSelection(order=pb.EXPORT_ORDER_SHUFFLED))
    assert len(planned) == 1
    assert kinds(got.messages)[0] == "header"
    assert got.summary.written_records == 3
