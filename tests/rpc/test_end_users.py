"""End users are found, left out and erased by their own ids, however these are kept."""

import asyncio
import json

import pytest

from llmproxy_grpc import cli
from llmproxy_grpc._gen.v1 import chat_pb2, export_pb2
from tests.fakes.kept import Kept
from tests.fakes.requests import chat_request

EVERYTHING = export_pb2.ExportOutput(format=export_pb2.EXPORT_FORMAT_FULL_JSON)


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path / "records")


def keeping(kept, end_user):
    return {"records": {"enabled": True, "directory": str(kept.places.folder), "end_user": end_user}}


async def asked(server, *end_users):
    for end_user in end_users:
        request = chat_request("How are you?")
        request.MergeFrom(chat_pb2.ChatRequest(end_user_id=end_user))
        await server.stub.Chat(request)


async def exported(server, **conditions):
    """What an export with these conditions gives, as lines of text."""
    request = export_pb2.ExportRequest(filter=export_pb2.ExportFilter(**conditions), output=EVERYTHING)
    data = b"".join([answer.chunk.data async for answer in server.stub.Export(request)])
    return data.decode().splitlines()


async def erased(kept, end_user, how):
    """Erases by `llmproxy records erase`."""
    file = kept.places.folder.with_name("llmproxy.json")
    file.write_text(json.dumps(keeping(kept, how)))
    command = ["records", "erase", "-c", str(file), "--end-user", end_user]
    with pytest.raises(SystemExit) as left:
        await asyncio.to_thread(cli.main, command)
    assert left.value.code == 0


async def test_hashed_end_users_are_found_and_erased_by_their_own_ids(serve, kept):
    async with serve(keeping(kept, "hash")) as server:
        await asked(server, "ann", "bob", "ann")
        await kept.wait(3)
        anns = await exported(server, end_user_ids=["ann"])
        assert len(anns) == 2
        assert len(await exported(server, end_user_ids=["bob", "eve"])) == 1
        assert len(await exported(server, none_of=[export_pb2.ExportFilter(end_user_ids=["ann"])])) == 1
        assert '"ann"' not in "".join(await exported(server))
        assert len(await exported(server, end_user_ids=[json.loads(anns[0])["request"]["end_user_id"]])) == 2
        await erased(kept, "ann", "hash")
        assert await exported(server, end_user_ids=["ann"]) == []
        assert len(await exported(server)) == 1


@pytest.mark.parametrize(("before", "now"), [("raw", "hash"), ("hash", "raw")])
async def test_what_was_kept_in_another_form_is_found_and_erased_as_well(serve, kept, before, now):
    async with serve(keeping(kept, before)) as server:
        await asked(server, "ann", "bob")
        await kept.wait(2)
    async with serve(keeping(kept, now)) as server:
        await asked(server, "ann", "bob")
        await kept.wait(4)
        assert len(await exported(server, end_user_ids=["ann"])) == 2
        assert len(await exported(server, none_of=[export_pb2.ExportFilter(end_user_ids=["ann"])])) == 2
        await erased(kept, "ann", now)
        assert await exported(server, end_user_ids=["ann"]) == []
        assert len(await exported(server)) == 2
