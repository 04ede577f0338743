"""Rows that are damaged cost themselves alone, and are counted."""

import grpc
import pytest
from msgspec.structs import replace

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.records.record import Body, Entry, spell_id
from llmproxy_grpc.records.store import Batch, Erase
from tests.fakes.exports import a_chat


def with_body(entry, **different):
    return Entry(entry.record, replace(entry.body, **different))


def some_chats():
    """A few hundred, of which one in ten has something wrong with it."""
    entries = [a_chat("x" * (1 + number % 50), str(number)) for number in range(200)]
    cut = entries[10].body.line[:-9]
    entries[10] = with_body(entries[10], line=cut + b"\n")  # no JSON
    entries[20] = with_body(entries[20], line=entries[20].body.line + entries[21].body.line)  # two lines
    entries[30] = with_body(entries[30], line=b'{"messages":[{"role":"user","content":"a"}]}\n')
    entries[40] = with_body(
        entries[40],
        line=b'{"messages":[{"role":"tool","content":"a","tool_call_id":"x"},{"role":"assistant","content":"b"}]}\n',
    )
    entries[50] = with_body(entries[50], line=None, line_fault="no_answer")
    entries[60] = with_body(entries[60], line=None)  # to be made now
    entries[70] = with_body(entries[70], line=None, request=b"\xff\xff")
    return entries


async def test_stored_lines_that_are_no_good_stay_and_are_counted(server, writer):
    writer.write(Batch(entries=some_chats()))
    got = await server.all()
    assert got.answers == [str(number) for number in range(200) if number not in (10, 20, 30, 40, 50, 70)]
    assert dict(got.summary.skipped_records) == {"damaged": 3, "no_answer": 2, "orphan_tool_result": 1}
    assert got.summary.matched_records == 200
    assert got.header.as_of_seq == 200


async def test_content_that_cannot_be_read_stays_and_is_counted_in_every_format(server, writer):
    entries = some_chats()
    entries[80] = Entry(entries[80].record, Body(b"\xff\xff", b"\xff"))
    writer.write(Batch(entries=entries))
    for form in (pb.EXPORT_FORMAT_RECORDS, pb.EXPORT_FORMAT_SHAREGPT, pb.EXPORT_FORMAT_FULL_JSON):
        got = await server.all(output=pb.ExportOutput(format=form))
        assert dict(got.summary.skipped_records) == {"damaged": 2}
        assert got.summary.written_records == 198


@pytest.mark.parametrize("open_store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("change", ["codec = 9", "line = X'28B52FFD'", "line = CAST('x' AS BLOB), codec = 1"])
async def test_rows_that_cannot_be_unpacked_stay_and_are_counted(server, writer, tmp_path, change):
    import apsw  # noqa: PLC0415 - damages the file as no code of ours could

    writer.write(Batch(entries=[a_chat("x" * 900, str(number)) for number in range(100)]))
    apsw.Connection(str(tmp_path / "store" / "records.sqlite3")).execute(f"UPDATE line SET {change} WHERE seq % 10 = 3")
    got = await server.all()
    assert dict(got.summary.skipped_records) == {"damaged": 10}
    assert got.answers == [str(number) for number in range(100) if number % 10 != 2]


async def test_the_first_record_that_does_not_fit_is_named_if_that_is_to_be_the_end(server, writer):
    entries = some_chats()
    writer.write(Batch(entries=entries))
    call = server.stub.Export(pb.ExportRequest(output=pb.ExportOutput(fail_on_invalid=True)))
    got = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for answer in call:
            got.append(answer)  # noqa: PERF401 - what came before the error is looked at
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert spell_id(entries[10].record.id) in caught.value.details()
    assert sum(answer.chunk.record_count for answer in got) == 10


async def test_what_was_to_be_left_out_is_not_the_end(server, writer):
    chats = [a_chat("ann@example.org", "0"), *[a_chat("a", str(number), total_tokens=number) for number in range(1, 6)]]
    writer.write(Batch(entries=chats))
    plan = (await server.all(plan_only=True)).header.plan_id
    writer.erase(Erase(tenant="default", id=chats[1].record.id), "asked")
    output = pb.ExportOutput(
        fail_on_invalid=True,
        max_tokens_per_record=4,
        redaction=pb.Redaction(mode=pb.REDACTION_MODE_DROP_RECORD),
    )
    got = await server.all(plan_id=plan, output=output)
    assert got.answers == ["2", "3", "4"]
    assert dict(got.summary.skipped_records) == {"redacted": 1, "erased": 1, "too_many_tokens": 1}


@pytest.mark.parametrize(
    ("form", "reason"), [(pb.EXPORT_FORMAT_TRL_PREFERENCE, "no_pair"), (pb.EXPORT_FORMAT_TRL_KTO, "no_label")]
)
async def test_that_nobody_judged_a_record_is_not_the_end(server, writer, form, reason):
    writer.write(Batch(entries=[a_chat("a", "1")]))
    named = pb.ExportSelection(pairs=pb.PreferencePairs(feedback_name="grade"))
    got = await server.all(selection=named, output=pb.ExportOutput(format=form, fail_on_invalid=True))
    assert dict(got.summary.skipped_records) == {reason: 1}


async def test_records_of_more_tokens_are_left_out_if_asked_for(server, writer):
    writer.write(Batch(entries=[a_chat("a", str(number), total_tokens=number) for number in range(10)]))
    got = await server.all(output=pb.ExportOutput(max_tokens_per_record=4))
    assert got.answers == ["0", "1", "2", "3", "4"]
    assert dict(got.summary.skipped_records) == {"too_many_tokens": 5}


async def test_secrets_are_hidden_and_counted_or_their_records_left_out(server, writer):
    writer.write(Batch(entries=[a_chat("I am ann@example.org and ann@example.org", "Hi"), a_chat("I am Bob", "Hi")]))
    masked = await server.all(output=pb.ExportOutput(redaction=pb.Redaction(mode=pb.REDACTION_MODE_MASK)))
    assert masked.lines[0]["messages"][0]["content"] == "I am <EMAIL> and <EMAIL>"
    assert dict(masked.summary.redacted_values) == {"EMAIL": 2}
    tokens = await server.all(output=pb.ExportOutput(redaction=pb.Redaction(mode=pb.REDACTION_MODE_TOKEN)))
    first, second = (word for word in tokens.lines[0]["messages"][0]["content"].split() if word.startswith("<EMAIL_"))
    assert first == second
    dropped = await server.all(output=pb.ExportOutput(redaction=pb.Redaction(mode=pb.REDACTION_MODE_DROP_RECORD)))
    assert [line["messages"][0]["content"] for line in dropped.lines] == ["I am Bob"]
    assert dict(dropped.summary.skipped_records) == {"redacted": 1}
