"""RecordFeedback at the real server."""

from uuid import UUID

import grpc
import pytest

from llmproxy_grpc._gen.v1 import content_pb2, feedback_pb2
from llmproxy_grpc.records.record import FeedbackKind
from tests.fakes.kept import Kept
from tests.fakes.polling import until
from tests.fakes.requests import RichError, chat_request

RECORD = "01a215da-1754-7799-b06d-8ae4e0e0a904"


def said(text):
    return content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=[content_pb2.ContentPart(text=text)])


ANSWER = said("Better")


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path / "records")


def keeping(kept, **settings):
    return {"records": {"enabled": True, "directory": str(kept.places.folder), **settings}}


def judgement(record_id=RECORD, name="helpful", **value):
    return feedback_pb2.RecordFeedbackRequest(record_id=record_id, name=name, **(value or {"thumbs_up": True}))


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return RichError(error.value)


@pytest.mark.parametrize(
    ("value", "kind", "number", "content"),
    [
        ({"thumbs_up": True}, FeedbackKind.THUMBS, 1.0, None),
        ({"thumbs_up": False}, FeedbackKind.THUMBS, 0.0, None),
        ({"score": -2.5}, FeedbackKind.SCORE, -2.5, None),
        ({"score": 0.0}, FeedbackKind.SCORE, 0.0, None),
        ({"comment": "très bien\x00"}, FeedbackKind.COMMENT, None, "très bien\x00".encode()),
        ({"demonstration": ANSWER}, FeedbackKind.DEMONSTRATION, None, ANSWER.SerializeToString()),
    ],
)
async def test_a_judgement_of_each_kind_is_kept(serve, kept, value, kind, number, content):
    async with serve(keeping(kept)) as server:
        answered = await server.stub.Chat(chat_request())
        said = await server.stub.RecordFeedback(judgement(answered.id, source="user", **value))
        await until(lambda: kept.feedback(UUID(answered.id).bytes))
        [stored] = kept.feedback(UUID(answered.id).bytes)
    assert (stored.name, stored.kind, stored.number, stored.content) == ("helpful", kind, number, content)
    assert (stored.source, stored.created_at) == ("user", said.create_time.ToMicroseconds())


async def test_a_judgement_may_come_before_its_record(serve, kept):
    async with serve(keeping(kept)) as server:
        await server.stub.RecordFeedback(judgement())
        await until(lambda: kept.feedback(UUID(RECORD).bytes))


async def test_the_latest_counts(serve, kept):
    async with serve(keeping(kept)) as server:
        for thumbs_up in (True, False, True, False):
            await server.stub.RecordFeedback(judgement(thumbs_up=thumbs_up))
        await server.stub.RecordFeedback(judgement(comment="why"))
        await until(lambda: kept.statistics().feedback == 5)
        kinds = {each.kind: each.number for each in kept.feedback(UUID(RECORD).bytes)}
    assert kinds == {FeedbackKind.THUMBS: 0.0, FeedbackKind.COMMENT: None}


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (feedback_pb2.RecordFeedbackRequest(), ["record_id", "name", "value"]),
        (judgement("no-uuid"), ["record_id"]),
        (judgement("{" + RECORD + "}"), ["record_id"]),
        (judgement(RECORD.replace("-", "")), ["record_id"]),
        (judgement(name=" "), ["name"]),
        (judgement(name="n" * 129), ["name"]),
        (judgement(source="s\n", thumbs_up=True), ["source"]),
        (judgement(score=float("nan")), ["score"]),
        (judgement(score=float("inf")), ["score"]),
        (judgement(comment=""), ["comment"]),
        (judgement(comment="c" * 65_537), ["comment"]),
        (judgement(demonstration=content_pb2.Message()), ["demonstration.role"]),
        (judgement(demonstration=content_pb2.Message(role=content_pb2.ROLE_USER)), ["demonstration.role"]),
        (judgement(demonstration=content_pb2.Message(role=content_pb2.ROLE_ASSISTANT)), ["demonstration.parts"]),
        (judgement(demonstration=said("")), ["demonstration.parts"]),
        (judgement(demonstration=said(" \n ")), ["demonstration.parts"]),
    ],
)
async def test_every_wrong_field_is_named(serve, kept, request_, fields):
    async with serve(keeping(kept)) as server:
        error = await refused(server.stub.RecordFeedback(request_))
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == fields


@pytest.mark.parametrize("value", [{"comment": "why"}, {"demonstration": ANSWER}])
async def test_words_are_refused_where_no_content_is_kept(serve, kept, value):
    async with serve(keeping(kept, content="metadata")) as server:
        error = await refused(server.stub.RecordFeedback(judgement(**value)))
        await server.stub.RecordFeedback(judgement(thumbs_up=True))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FEATURE_DISABLED")
    assert error.fields == list(value)


async def test_without_records_there_is_no_feedback(serve):
    async with serve() as server:
        error = await refused(server.stub.RecordFeedback(judgement()))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FEATURE_DISABLED")


async def test_a_judgement_that_cannot_be_kept_is_not_acknowledged(serve, kept):
    kept.places.folder.write_text("a file is where the folder should be")
    async with serve(keeping(kept)) as server:
        error = await refused(server.stub.RecordFeedback(judgement()))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "PROXY_OVERLOADED")
        kept.places.folder.unlink()
        await server.stub.RecordFeedback(judgement())
        await until(lambda: kept.places.store.exists() and kept.feedback(UUID(RECORD).bytes), within=10)
