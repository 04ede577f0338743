"""Calls of the real server leave it as a dataset."""

import json

import grpc
import pytest

from llmproxy_grpc._gen.v1 import export_pb2, feedback_pb2
from llmproxy_grpc.messages import Usage
from tests.fakes.kept import Kept
from tests.fakes.requests import chat_request
from tests.fakes.scripted_provider import response


async def exported(server, **fields):
    return [answer async for answer in server.stub.Export(export_pb2.ExportRequest(**fields))]


async def test_what_was_said_leaves_as_lines_of_openai_chat(serve, tmp_path):
    kept = Kept(tmp_path / "records")
    async with serve({"records": {"enabled": True, "directory": str(kept.places.folder)}}) as server:
        server.scripted.chats.extend([response("Fine", Usage(1, 1, 2)), response("Bad", Usage(1, 1, 2))])
        good = await server.stub.Chat(chat_request("How are you?"))
        await server.stub.Chat(chat_request("And now?"))
        await server.stub.RecordFeedback(
            feedback_pb2.RecordFeedbackRequest(record_id=good.id, name="helpful", thumbs_up=True)
        )
        await kept.wait(2)
        header, chunk, file, summary = await exported(server)
        while not (await exported(server))[0].header.as_of_feedback_seq:
            pass  # the judgement is on its way
        liked = export_pb2.FeedbackCondition(name="helpful", thumbs_up=True)
        _, best, *_ = await exported(server, filter=export_pb2.ExportFilter(feedback=[liked]))
    lines = [json.loads(line) for line in chunk.chunk.data.splitlines()]
    assert lines[0]["messages"] == [
        {"role": "user", "content": "How are you?"},
        {"role": "assistant", "content": "Fine"},
    ]
    assert [line["messages"][-1]["content"] for line in lines] == ["Fine", "Bad"]
    assert header.header.as_of_seq == 2
    assert file.file.record_count == summary.summary.written_records == 2
    assert best.chunk.data == chunk.chunk.data[: chunk.chunk.data.index(b"\n") + 1]


async def test_without_records_there_is_nothing_to_export(serve):
    async with serve() as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await exported(server)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
