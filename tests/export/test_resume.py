"""An export that is cut off goes on behind any message, to the same bytes."""

import base64
from contextlib import closing

import apsw
import grpc
import pytest

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.calls import Caller
from llmproxy_grpc.export import assembly
from llmproxy_grpc.records.plan_files import LIFETIME
from llmproxy_grpc.records.record import FeedbackKind
from llmproxy_grpc.records.store import Batch, Erase
from tests.fakes.exports import Got, a_chat, exporting
from tests.fakes.records import a_judgement

DAY = 86_400.0

PLAIN = pb.ExportRequest(max_chunk_bytes=4096)
PLANNED = pb.ExportRequest(
    max_chunk_bytes=4096,
    selection=pb.ExportSelection(
        order=pb.EXPORT_ORDER_SHUFFLED,
        seed=7,
        split=pb.Split(validation_fraction=0.3, test_fraction=0.2),
        deduplication=pb.DEDUPLICATION_EXACT,
    ),
)
PACKED = pb.ExportRequest(max_chunk_bytes=4096, output=pb.ExportOutput(compression=pb.EXPORT_COMPRESSION_ZSTD))
TYPED = pb.ExportRequest(max_chunk_bytes=4096, output=pb.ExportOutput(format=pb.EXPORT_FORMAT_RECORDS))
FIGURES = pb.ExportRequest(max_chunk_bytes=4096, output=pb.ExportOutput(format=pb.EXPORT_FORMAT_CSV))
LIMITED = pb.ExportRequest(max_chunk_bytes=4096, selection=pb.ExportSelection(limit=77))

REDACTED = pb.ExportRequest(
    max_chunk_bytes=4096, output=pb.ExportOutput(redaction=pb.Redaction(mode=pb.REDACTION_MODE_TOKEN))
)
WORDS = pb.ExportRequest(max_chunk_bytes=4096, filter=pb.ExportFilter(texts=[pb.TextCondition(contains="me@")]))
PART = pb.ExportRequest(
    max_chunk_bytes=4096,
    selection=pb.ExportSelection(split=pb.Split(validation_fraction=0.5)),
    output=pb.ExportOutput(part=pb.SPLIT_PART_VALIDATION),
)
LABELLED = pb.ExportRequest(
    max_chunk_bytes=4096,
    selection=pb.ExportSelection(pairs=pb.PreferencePairs(feedback_name="grade")),
    output=pb.ExportOutput(format=pb.EXPORT_FORMAT_TRL_KTO),
)
PAIRED = pb.ExportRequest(
    max_chunk_bytes=4096,
    selection=pb.ExportSelection(
        pairs=pb.PreferencePairs(source=pb.PAIR_SOURCE_SCORE, feedback_name="grade", min_gap=0.1)
    ),
    output=pb.ExportOutput(format=pb.EXPORT_FORMAT_TRL_PREFERENCE),
)


@pytest.fixture
def small_files(monkeypatch):
    monkeypatch.setattr(assembly, "FILE_BYTES", 12_000)


def some_chats():
    odd = {3: {"training_ok": False}, 4: {"keep": False}, 5: {"grpc_code": 13}}
    return [
        a_chat(
            f"me@example.com {'x' * (100 + number // 2 * 7 % 400)}",
            str(number),
            conversation=str(number % 20),
            **odd.get(number % 9, {}),
        )
        for number in range(150)
    ]


def graded(chats):
    """Two answers to each prompt, one better than the other."""
    return [
        a_judgement(chat.record.id, name="grade", kind=FeedbackKind.SCORE, number=number % 2 / 2 + 0.2)
        for number, chat in enumerate(chats)
    ]


async def behind(server, request, token):
    again = pb.ExportRequest()
    again.CopyFrom(request)
    again.resume_token = token
    return await server.all(again)


def content(messages):
    """What is data: everything but headers, and what numbers and tokens there are around it."""
    bare = []
    for message in messages:
        if message.WhichOneof("payload") in ("header", "heartbeat"):
            continue
        copy = pb.ExportResponse()
        copy.CopyFrom(message)
        copy.sequence, copy.resume_token = 0, ""
        bare.append(copy)
    return bare


@pytest.mark.parametrize(
    "request_",
    [PLAIN, PLANNED, PACKED, TYPED, FIGURES, LIMITED, REDACTED, WORDS, PART, LABELLED, PAIRED],
    ids=[
        "plain",
        "planned",
        "packed",
        "typed",
        "figures",
        "limited",
        "redacted",
        "words",
        "part",
        "labelled",
        "paired",
    ],
)
async def test_what_came_and_what_comes_behind_any_message_is_the_whole(server, writer, small_files, request_):
    chats = some_chats()
    writer.write(Batch(entries=chats, feedback=graded(chats)))
    whole = await server.all(request_)
    assert len(whole.messages) > 6
    for count in range(1, len(whole.messages) + 1):
        rest = await behind(server, request_, whole.messages[count - 1].resume_token)
        assert rest.messages[0].HasField("header")
        assert [answer.sequence for answer in rest.messages] == list(range(len(rest.messages)))
        kept = whole.messages[:count]
        if kept[-1].HasField("summary"):
            kept = kept[:-1]  # an export that was complete tells its summary again
        assert content(kept) + content(rest.messages) == content(whole.messages)


@pytest.mark.parametrize("request_", [PLAIN, PLANNED, REDACTED], ids=["plain", "planned", "redacted"])
@pytest.mark.parametrize("open_store", ["postgres"], indirect=True)
async def test_another_replica_with_the_same_store_goes_on(open_store, writer, tmp_path, small_files, request_):
    """Each has a folder of its own, with its own plans and the key that it would have used alone."""
    writer.write(Batch(entries=some_chats()))
    async with exporting(open_store, tmp_path / "one") as one, exporting(open_store, tmp_path / "other") as other:
        whole = await one.all(request_)
        rest = await behind(other, request_, whole.messages[3].resume_token)
        assert content(whole.messages[:4]) + content(rest.messages) == content(whole.messages)
        assert content((await other.all(request_)).messages) == content(whole.messages)
    assert (tmp_path / "one" / "export.key").read_bytes() != (tmp_path / "other" / "export.key").read_bytes()


async def test_records_that_come_later_change_nothing(server, writer, small_files):
    writer.write(Batch(entries=some_chats()))
    whole = await server.all(PLAIN)
    writer.write(Batch(entries=some_chats()))
    rest = await behind(server, PLAIN, whole.messages[3].resume_token)
    assert content(whole.messages[:4]) + content(rest.messages) == content(whole.messages)


async def test_a_plan_that_was_lost_is_made_again(server, writer, small_files):
    writer.write(Batch(entries=some_chats()))
    whole = await server.all(PLANNED)
    for plan in (server.folder / "plans").iterdir():
        plan.unlink()
    rest = await behind(server, PLANNED, whole.messages[3].resume_token)
    assert content(whole.messages[:4]) + content(rest.messages) == content(whole.messages)


def of_another_version(plan):
    with closing(apsw.Connection(str(plan))) as connection:
        connection.execute("UPDATE plan SET frozen = x'81a3'")


@pytest.mark.parametrize(
    "damage",
    [lambda plan: plan.write_bytes(b""), lambda plan: plan.write_bytes(bytes(8192)), of_another_version],
    ids=["empty", "zeros", "of another version"],
)
async def test_a_plan_that_cannot_be_read_is_made_again(server, writer, small_files, damage):
    """Plans are not synced: a power cut may take their bytes."""
    writer.write(Batch(entries=some_chats()))
    whole = await server.all(PLANNED)
    for plan in (server.folder / "plans").iterdir():
        damage(plan)
    rest = await behind(server, PLANNED, whole.messages[3].resume_token)
    assert content(whole.messages[:4]) + content(rest.messages) == content(whole.messages)


async def test_an_export_whose_plan_has_no_place_is_to_be_tried_again(server, writer):
    writer.write(Batch(entries=some_chats()))
    (server.folder / "plans").write_bytes(b"")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.all(PLANNED)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def refused(server, request, token):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await behind(server, request, token)
    return caught.value.code(), caught.value.details()


async def test_a_plan_without_records_that_were_erased_cannot_be_resumed_once_it_is_lost(server, writer, small_files):
    entries = some_chats()
    writer.write(Batch(entries=entries))
    whole = await server.all(PLANNED)
    writer.erase(Erase(tenant="default", id=entries[0].record.id), "asked")
    for plan in (server.folder / "plans").iterdir():
        plan.unlink()
    code, details = await refused(server, PLANNED, whole.messages[3].resume_token)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "begin the export again" in details


async def test_tokens_that_are_not_of_this_export_are_refused(server, writer):
    writer.write(Batch(entries=some_chats()))
    token = (await server.all(PLAIN)).messages[2].resume_token
    changed = pb.ExportRequest(max_chunk_bytes=8192)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[-1] ^= 1
    forged = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    for request, bad in [
        (PLAIN, forged),
        (PLAIN, "?"),
        (PLAIN, "é"),
        (PLAIN, "AA"),
        (PLAIN, token[:-4]),
        (changed, token),
    ]:
        code, _ = await refused(server, request, bad)
        assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_token_is_of_no_use_to_another_tenant(server, writer):
    writer.write(Batch(entries=some_chats()))
    token = (await server.all(PLAIN)).messages[2].resume_token
    server.caller = Caller(tenant="other")
    code, _ = await refused(server, PLAIN, token)
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_token_of_an_export_that_is_over_is_refused(open_store, writer, tmp_path):
    writer.write(Batch(entries=some_chats()))
    time = [1_000_000.0]
    async with exporting(open_store, tmp_path, now=lambda: time[0]) as server:
        got = await server.all(PLAIN)
        assert got.header.expire_time.seconds == 1_000_000 + LIFETIME
        time[0] += LIFETIME
        code, _ = await refused(server, PLAIN, got.messages[2].resume_token)
    assert code is grpc.StatusCode.FAILED_PRECONDITION


async def test_an_erased_record_is_absent_and_the_hash_of_its_file_is_not_told(server, writer, small_files):
    entries = [a_chat("x" * 400, str(number)) for number in range(40)]
    writer.write(Batch(entries=entries))
    whole = await server.all(PLAIN)
    writer.erase(Erase(tenant="default", id=entries[1].record.id), "asked")
    writer.erase(Erase(tenant="default", id=entries[39].record.id), "asked")
    rest = await behind(server, PLAIN, whole.messages[1].resume_token)
    assert Got([whole.messages[0], whole.messages[1], *rest.messages]).answers == [str(number) for number in range(39)]
    assert rest.files[0].sha256 == b""
    assert all(file.sha256 for file in rest.files[1:])
