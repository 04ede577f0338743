"""Retention in PostgreSQL: what has expired goes row by row, and with its partition where all of that has."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.postgres import deletion
from llmproxy_grpc.records.postgres.connection import Connection
from llmproxy_grpc.records.postgres.deletion import _EXPIRED, _younger
from llmproxy_grpc.records.postgres.schema import PARTITIONED
from llmproxy_grpc.records.record import Body
from llmproxy_grpc.records.store import Batch, Page
from tests.fakes.polling import until
from tests.fakes.records import a_judgement, an_entry, rows_of
from tests.records.test_ingesting import ingesting_in, now_us

EVERYTHING = Page(tenant="default", as_of_seq=10**9, limit=10**6)


def test_what_has_expired_as_a_whole_is_dropped(postgres, postgres_store):
    store = postgres_store(partition_rows=8)
    writer, reader = store.writer(), store.reader()
    entries = [an_entry(started_at=number, body=Body(b"a", b"b", b"c")) for number in range(30)]
    writer.write(Batch(entries=entries, feedback=[a_judgement(entry.record.id) for entry in entries]))
    # Positions 1 to 7 lie in the first partition, 8 to 15 in the second, and so on.
    gone = []
    while count := writer.expire(20, 3):
        gone.append(count)
    assert gone == [7, 8, 3, 2]
    assert [record.started_at for record in rows_of(reader, EVERYTHING)] == list(range(20, 30))
    assert _tables(postgres, postgres_store.schema, "record_%") == ["record_2", "record_3", "record_key"]
    assert (reader.statistics().bodies, reader.statistics().feedback) == (10, 10)
    again = writer.write(Batch(entries=[entries[0]]))
    assert again.records == 1  # it is forgotten, as in every store
    reader.close()
    writer.close()


def test_a_partition_that_expiry_has_emptied_row_by_row_is_dropped_in_its_turn(postgres, postgres_store):
    writer = postgres_store(partition_rows=8).writer()
    times = [*([1] * 6), 50, *([1] * 8), *([90] * 8)]  # the first partition has a young record, the second none
    writer.write(Batch(entries=[an_entry(started_at=time) for time in times]))
    assert [writer.expire(20, 100), writer.expire(20, 100)] == [14, 0]
    assert _tables(postgres, postgres_store.schema, "record__") == ["record_0", "record_1", "record_2"]
    assert [writer.expire(60, 100), writer.expire(60, 100)] == [1, 0]
    for name in PARTITIONED:
        assert _tables(postgres, postgres_store.schema, f"{name}__") == [f"{name}_2"]
    writer.close()


def test_of_hosts_whose_rounds_meet_one_expires_and_none_waits_for_another(postgres_store, monkeypatch):
    """A partition takes seconds to go; whoever came meanwhile waited for it in a circle, and one of them failed."""
    hosts = [postgres_store(partition_rows=8, spool=name).writer() for name in ("one", "other")]
    hosts[0].write(Batch(entries=[an_entry(started_at=number) for number in range(30)]))
    dropping, met = threading.Event(), threading.Event()
    really = deletion._drop

    async def drop(session, number):
        dropping.set()
        await asyncio.to_thread(met.wait, 2)
        await really(session, number)

    monkeypatch.setattr(deletion, "_drop", drop)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(hosts[0].expire, 20, 3)
        assert dropping.wait(10)
        second = hosts[1].expire(20, 3)
        met.set()
        assert (first.result(), second) == (7, 0)
    assert hosts[1].expire(20, 3) == 8
    for host in hosts:
        host.close()


@pytest.mark.parametrize("tables", [("record", "label"), ("body", "line"), ("record", "body", "line", "label")])
def test_a_partition_is_dropped_behind_whoever_reads_or_writes(postgres, postgres_store, tables):
    """Exports and other hosts come upon the tables one after the other, and so does what drops them."""
    writer = postgres_store(partition_rows=8).writer()
    writer.write(Batch(entries=[an_entry(started_at=number) for number in range(30)]))
    other = Connection(postgres.address, postgres_store.schema)

    async def look(session):
        async with session.transaction():
            await session.fetch(f"SELECT FROM {tables[0]}")
            expiring = pool.submit(writer.expire, 20, 3)
            waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = ANY($1::regclass[])"
            while not await session.fetch(waits, list(tables)):
                await asyncio.sleep(0.01)
            for table in tables[1:]:
                await session.fetch(f"SELECT FROM {table}")
        return expiring

    with ThreadPoolExecutor(1) as pool:
        assert other.run(look).result(10) == 7
    other.close()
    writer.close()


def test_the_partition_that_is_being_filled_is_never_dropped(postgres_store):
    writer = postgres_store(partition_rows=8).writer()
    writer.write(Batch(entries=[an_entry(started_at=1) for _ in range(4)]))
    assert writer.expire(10, 100) == 4
    assert writer.write(Batch(entries=[an_entry()])).records == 1
    writer.close()


def test_what_has_expired_is_found_by_the_index_of_time(postgres, postgres_store):
    writer = postgres_store(partition_rows=8).writer()
    writer.write(Batch(entries=[an_entry(started_at=number) for number in range(100, 130)]))
    connection = Connection(postgres.address, postgres_store.schema, prepare=["SET enable_seqscan = off"])
    plan = connection.query(f"EXPLAIN {_EXPIRED.replace('$1', '50').replace('$2', '10')}")
    assert any("started_at_idx" in line and "Index" in line for (line,) in plan), plan
    assert not any("Seq Scan on record" in line for (line,) in plan), plan
    connection.close()
    writer.close()


def test_whether_a_partition_has_expired_is_told_by_the_index_of_time(postgres, postgres_store):
    """It is asked with every few records that are deleted, and a partition has a million."""
    writer = postgres_store(partition_rows=8).writer()
    writer.write(Batch(entries=[an_entry(started_at=number) for number in range(100, 130)]))
    connection = Connection(postgres.address, postgres_store.schema, prepare=["SET enable_seqscan = off"])
    plan = connection.query(f"EXPLAIN {_younger(1).replace('$1', '50')}")
    assert any("started_at_idx" in line and "Index" in line for (line,) in plan), plan
    assert not any("Seq Scan on record" in line for (line,) in plan), plan
    connection.close()
    writer.close()


def test_all_that_has_expired_goes_in_one_round_however_little_is_in_a_partition(postgres, postgres_store, tmp_path):
    store = postgres_store(partition_rows=8)
    writer, reader = store.writer(), store.reader()
    young = now_us()
    writer.write(Batch(entries=[an_entry(started_at=1) for _ in range(30)] + [an_entry(started_at=young)]))
    writer.close()
    with ingesting_in(Places(tmp_path), lambda: store, retention=3600.0):
        asyncio.run(until(lambda: asyncio.to_thread(lambda: reader.columns(EVERYTHING, ["started_at"]) == [(young,)])))
    assert _tables(postgres, postgres_store.schema, "record__") == ["record_3"]
    reader.close()


def _tables(server, schema, like):
    sql = f"SELECT relname FROM pg_class WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r'"
    return server.sql(f"{sql} AND relname LIKE '{like}' ORDER BY 1", database="records").split()
