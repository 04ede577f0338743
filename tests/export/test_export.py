"""What an export sends: header, chunks, files, summary."""

import csv
import gzip
from hashlib import sha256

import google_crc32c
import grpc
import pytest
import zstandard
from google.protobuf import json_format

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, generation_pb2
from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.export import assembly
from llmproxy_grpc.records.record import FeedbackKind
from llmproxy_grpc.records.store import Batch
from tests.fakes.exports import a_chat, an_exchange, message
from tests.fakes.records import a_judgement


async def test_an_empty_store_gives_a_header_and_a_summary(server):
    got = await server.all()
    assert [answer.WhichOneof("payload") for answer in got.messages] == ["header", "summary"]
    assert [answer.sequence for answer in got.messages] == [0, 1]
    assert (got.header.as_of_seq, got.header.matched_records) == (0, -1)
    assert got.summary == pb.ExportSummary()


async def test_records_leave_as_lines_in_the_order_in_which_they_were_stored(server, writer):
    writer.write(Batch(entries=[a_chat("a", "1"), a_chat("b", "2"), a_chat("c", "3\u2028é")]))
    got = await server.all()
    assert [answer.WhichOneof("payload") for answer in got.messages] == ["header", "chunk", "file", "summary"]
    assert got.answers == ["1", "2", "3\u2028é"]
    [chunk], [file] = got.chunks, got.files
    assert (chunk.record_count, chunk.part, chunk.file_index) == (3, pb.SPLIT_PART_UNSPECIFIED, 0)
    assert chunk.crc32c == google_crc32c.value(chunk.data)
    assert (file.record_count, file.byte_count, file.index) == (3, len(got.data), 0)
    assert file.sha256 == sha256(got.data).digest()
    assert got.summary == pb.ExportSummary(matched_records=3, written_records=3, file_count=1)
    assert (got.header.as_of_seq, got.header.as_of_feedback_seq) == (3, 0)


async def test_the_first_file_of_figures_begins_with_the_names_of_its_columns(server, writer, monkeypatch):
    monkeypatch.setattr(assembly, "FILE_BYTES", 1000)
    writer.write(Batch(entries=[a_chat("a", str(number)) for number in range(20)]))
    got = await server.all(output=pb.ExportOutput(format=pb.EXPORT_FORMAT_CSV))
    rows = list(csv.DictReader(got.data.decode().splitlines()))
    assert [row["seq"] for row in rows] == [str(number) for number in range(1, 21)]
    assert len(got.files) > 1
    assert sum(file.record_count for file in got.files) == 20
    assert sum(file.byte_count for file in got.files) == len(got.data)


async def test_only_chats_that_went_well_unless_others_are_asked_for(server, writer):
    writer.write(
        Batch(
            entries=[
                a_chat("a", "1"),
                a_chat("b", "2", grpc_code=14),
                a_chat("c", "3", method="Stream"),
                a_chat("d", "4", method="Embed"),
            ]
        )
    )
    assert (await server.all()).answers == ["1", "3"]
    asked = pb.ExportFilter(grpc_codes=[14])
    assert (await server.all(filter=asked)).answers == ["2"]
    asked = pb.ExportFilter(methods=["Embed"])
    assert (await server.all(filter=asked)).answers == ["4"]


async def test_what_is_left_out_is_counted_by_reason(server, writer):
    writer.write(
        Batch(
            entries=[
                a_chat("a", "1", training_ok=False),
                a_chat(keep=False),
                a_chat("b", "2"),
            ]
        )
    )
    got = await server.all()
    assert got.answers == ["2"]
    assert dict(got.summary.skipped_records) == {"no_training": 1, "no_content": 1}
    assert got.summary.matched_records == 3
    got = await server.all(selection=pb.ExportSelection(include_no_training=True))
    assert got.answers == ["1", "2"]


async def test_chunks_end_with_records_and_are_of_the_size_asked_for(server, writer):
    writer.write(Batch(entries=[a_chat("x" * 500, str(number)) for number in range(100)]))
    whole = await server.all()
    small = await server.all(max_chunk_bytes=1)
    assert len(small.chunks) == 15
    assert all(len(chunk.data) <= 4096 and chunk.data.endswith(b"\n") for chunk in small.chunks)
    assert small.data == whole.data
    assert small.files == whole.files


@pytest.mark.parametrize(
    ("compression", "decompress"),
    [
        (pb.EXPORT_COMPRESSION_GZIP, gzip.decompress),
        (
            pb.EXPORT_COMPRESSION_ZSTD,
            lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read(),
        ),
    ],
)
async def test_compressed_chunks_together_are_a_file(server, writer, compression, decompress):
    writer.write(Batch(entries=[a_chat("x" * 500, str(number)) for number in range(100)]))
    plain = await server.all(max_chunk_bytes=4096)
    packed = await server.all(max_chunk_bytes=4096, output=pb.ExportOutput(compression=compression))
    assert decompress(packed.data) == plain.data
    assert packed.files == plain.files
    assert all(chunk.crc32c == google_crc32c.value(chunk.data) for chunk in packed.chunks)
    assert (
        packed.messages[1].chunk.data
        == (await server.all(max_chunk_bytes=4096, output=pb.ExportOutput(compression=compression)))
        .messages[1]
        .chunk.data
    )


async def test_records_themselves_come_whole(server, writer):
    writer.write(Batch(entries=[a_chat("a", "1", labels={"team": "x"}), a_chat(keep=False, model="m")]))
    got = await server.all(output=pb.ExportOutput(format=pb.EXPORT_FORMAT_RECORDS))
    whole, figures = got.records
    assert whole.request.messages[0].parts[0].text == "a"
    assert whole.response.candidates[0].message.parts[0].text == "1"
    assert dict(whole.request.labels) == {"team": "x"}
    assert (whole.seq, figures.seq) == (1, 2)
    assert not figures.request.messages
    assert figures.request.model == "m"
    assert got.files == []


async def test_odd_records_come_as_they_were_said(server, writer):
    odd = "a\u2028b\u2029c\u0085d\x00e\r\nf\u00e9\U0001f600"
    calls = [
        {"tool_call": {"id": each, "name": "f", "arguments_json": f'{{"n":{"9" * 30},"t":"{odd}"}}'}} for each in "ab"
    ]
    answers = [{"tool_result": {"tool_call_id": each, "name": "f", "content": [{"text": odd}]}} for each in "ba"]
    picture = {"image": {"data": bytes(range(256)), "media_type": "image/png"}}
    entry = an_exchange(
        message("developer", odd),
        message("user", "h\u00e4 \n" * (2 * 1024 * 1024 // 5)),
        content_pb2.Message(role=content_pb2.ROLE_USER, parts=[{"text": odd}, picture]),
        content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=[{"reasoning": {"text": odd}}, *calls]),
        content_pb2.Message(role=content_pb2.ROLE_TOOL, parts=answers),
        message("assistant", odd),
    )
    writer.write(Batch(entries=[entry]))
    [record] = (await server.all(output=pb.ExportOutput(format=pb.EXPORT_FORMAT_RECORDS))).records
    assert record.request == chat_pb2.ChatRequest.FromString(entry.body.request)
    assert list(record.response.candidates) == list(chat_pb2.ChatResponse.FromString(entry.body.response).candidates)


async def test_what_was_said_of_records_counts_for_the_size_of_a_message(server, writer):
    chats = [a_chat("a", str(number)) for number in range(12)]
    said = [a_judgement(chat.record.id, kind=FeedbackKind.COMMENT, content=b"c" * 3000) for chat in chats]
    writer.write(Batch(entries=chats, feedback=said))
    got = await server.all(output=pb.ExportOutput(format=pb.EXPORT_FORMAT_RECORDS), max_chunk_bytes=8192)
    assert [len(each.records.records) for each in got.messages if each.HasField("records")] == [2] * 6


async def test_of_records_without_content_the_figures_come_in_every_format_that_has_them(server, writer):
    used = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5, "cost_nanos": 1_234_567, "cost_currency": "USD"}
    writer.write(Batch(entries=[a_chat(keep=False, labels={"team": "x"}, finish_reasons=1 << 3, **used)]))
    formats = (pb.EXPORT_FORMAT_RECORDS, pb.EXPORT_FORMAT_FULL_JSON, pb.EXPORT_FORMAT_CSV)
    typed, json_lines, figures = [await server.all(output=pb.ExportOutput(format=form)) for form in formats]
    [record] = typed.records
    assert record == json_format.ParseDict(json_lines.lines[0], pb.ExportRecord())
    assert dict(record.request.labels) == {"team": "x"}
    assert record.response.usage.cost == generation_pb2.Cost(currency_code="USD", amount_nanos=1_234_567)
    assert [candidate.finish_reason for candidate in record.response.candidates] == [3]
    [row] = csv.DictReader(figures.data.decode().splitlines())
    assert (row["labels"], row["cost"], row["currency"]) == ('{"team":"x"}', "0.001234567", "USD")
    assert (row["finish_reason"], row["total_tokens"]) == ("MAX_TOKENS", "5")
    assert (row["cache_hit"], row["failed_attempts"], row["messages"], row["tool_calls"]) == ("",) * 4


async def test_a_limit_ends_the_search(server, writer):
    writer.write(Batch(entries=[a_chat("a", str(number)) for number in range(50)]))
    got = await server.all(selection=pb.ExportSelection(limit=7))
    assert got.answers == [str(number) for number in range(7)]
    assert got.summary == pb.ExportSummary(matched_records=7, written_records=7, file_count=1)
    counted = await server.all(selection=pb.ExportSelection(limit=7), plan_only=True)
    assert (counted.header.matched_records, counted.header.selected_records) == (50, 7)
    assert dict(counted.summary.skipped_records) == {"over_limit": 43}


async def test_every_wrong_field_is_named(server):
    request = pb.ExportRequest(
        filter=pb.ExportFilter(record_ids=["x"], models=[""], after_seq=-1),
        output=pb.ExportOutput(format=99),
        max_chunk_bytes=-1,
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.all(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for name in ("filter.record_ids[0]", "filter.models[0]", "filter.after_seq", "output.format", "max_chunk_bytes"):
        assert name in caught.value.details()
