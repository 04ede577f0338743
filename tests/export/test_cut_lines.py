"""An export over a line that is reset at any byte, taken by the client: the files are those of one that was not."""

import asyncio
import random
from contextlib import suppress
from functools import partial

import grpc
import pytest
from llmproxy_client import connect, export

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.export import assembly
from llmproxy_grpc.records.store import Batch
from tests.fakes.exports import a_chat
from tests.fakes.polling import until
from tests.fakes.relay import Relay

CUTS = 40
PLAIN = pb.ExportRequest(max_chunk_bytes=4096)
SHUFFLED = pb.ExportRequest(
    max_chunk_bytes=4096,
    selection=pb.ExportSelection(
        order=pb.EXPORT_ORDER_SHUFFLED, seed=7, split=pb.Split(validation_fraction=0.3, test_fraction=0.2)
    ),
)
PACKED = pb.ExportRequest(max_chunk_bytes=4096, output=pb.ExportOutput(compression=pb.EXPORT_COMPRESSION_ZSTD))


def downloaded(port, request, folder, let_go):
    """All files of an export, and the manifest's hashes of them."""
    for _ in range(CUTS):
        # Begun anew, as by who gives the command again: what has come and is not yet taken falls with the line, so that
        # a machine with other work may take nothing of many lines in a row, and the client does not try for ever.
        with connect(f"127.0.0.1:{port}", retries=False) as client, suppress(grpc.RpcError):
            manifest = export(client.stub, request, folder, sleep=lambda _seconds: let_go())
            files = {path.name: path.read_bytes() for path in folder.iterdir() if ".jsonl" in path.name}
            return files, {file["name"]: (file["sha256"], file["verified"]) for file in manifest["files"]}
    pytest.fail("the export was given up however often it was begun")


@pytest.mark.parametrize("request_", [PLAIN, SHUFFLED, PACKED], ids=["plain", "shuffled", "packed"])
async def test_a_line_that_is_reset_anywhere_leaves_the_same_files(server, writer, monkeypatch, tmp_path, request_):
    monkeypatch.setattr(assembly, "FILE_BYTES", 50_000)
    chance = random.Random(3)
    for start in range(0, 2000, 500):
        texts = [chance.randbytes(number % 350).hex() for number in range(start, start + 500)]
        writer.write(Batch(entries=[a_chat(text, "answer") for text in texts]))
    loop = asyncio.get_running_loop()

    def let_go():
        """Waits, in the client's thread, until the server knows that the line is gone: few exports may run at once."""
        idle = until(lambda: server.servicer.running == 0)
        asyncio.run_coroutine_threadsafe(idle, loop).result()

    take = partial(asyncio.to_thread, downloaded, request=request_, let_go=let_go)
    whole = await take(server.port, folder=tmp_path / "whole")
    cuts = [chance.randrange(1, 60_000) for _ in range(CUTS)]
    async with Relay(server.port, cut_behind=cuts) as relay:
        pieces = await take(relay.port, folder=tmp_path / "pieces")
        assert relay.accepted > 10
    assert pieces == whole
    assert all(verified for _, verified in whole[1].values())
