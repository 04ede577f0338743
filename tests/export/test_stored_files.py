"""Files that every version of the store has left are opened, brought up to date, and exported to the same bytes."""

from pathlib import Path

import pytest
import zstandard

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.records.sqlite.connection import connect_writer
from llmproxy_grpc.records.sqlite.schema import MIGRATIONS
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.store import Batch
from tests.fakes.exports import a_chat, exporting

STORED = Path(__file__).parents[1] / "records" / "stored"
"""Each as its version wrote it, and never again: two conversations, one without content, one erased, two judgements."""
TEA = (
    b'{"messages":[{"role":"user","content":"Where is the tea?"},{"role":"assistant","content":"In the pot."}]}\n'
    b'{"messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"Short."}]}\n' % (b"long " * 300)
)


def test_there_is_a_file_of_every_version():
    names = {path.name for path in STORED.iterdir()}
    assert names == {f"version-{version}.sqlite3.zst" for version in range(1, len(MIGRATIONS) + 1)}


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
async def test_a_stored_file_is_brought_up_to_date_and_exported_to_the_same_bytes(version, tmp_path):
    path = tmp_path / "records.sqlite3"
    path.write_bytes(zstandard.decompress((STORED / f"version-{version}.sqlite3.zst").read_bytes()))
    store = SqliteStore(path, lambda: 2_000_000)
    reader = store.reader()
    assert [tombstone.seq for tombstone in reader.tombstones("default", 0, 9)] == [3]
    async with exporting(lambda: store, tmp_path) as server:
        got = await server.all()
        judged = await server.all(output=pb.ExportOutput(format=pb.EXPORT_FORMAT_RECORDS))
    assert (got.data, got.header.as_of_seq, got.header.as_of_feedback_seq) == (TEA, 4, 2)
    assert [record.feedback[0].WhichOneof("value") for record in judged.records] == ["thumbs_up", "score"]
    assert dict(judged.records[0].request.labels) == {"app": "search"}
    reader.close()
    goes_on_as_a_new_one_does(store)
    assert schema(path) == schema(tmp_path / "new" / "records.sqlite3")


def goes_on_as_a_new_one_does(store):
    writer = store.writer()
    assert writer.progress() == {"0-1": 7}
    assert writer.write(Batch(entries=[a_chat()])).records == 1
    writer.close()


def schema(path):
    """Its tables and indexes, and its version, as they are in a file that is there, or in a new one."""
    SqliteStore(path)
    connection = connect_writer(path)
    found = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
    version = connection.pragma("user_version")
    connection.close()
    return version, found
