"""What is PostgreSQL's own: several hosts, partitions, rules of rows, a server that dies, stops or is another's."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmproxy_grpc.records.postgres import connection as connecting
from llmproxy_grpc.records.postgres import writer as writing
from llmproxy_grpc.records.postgres.connection import Connection, numbered
from llmproxy_grpc.records.postgres.schema import MIGRATIONS
from llmproxy_grpc.records.postgres.store import PostgresStore
from llmproxy_grpc.records.record import Body, OpenCall
from llmproxy_grpc.records.store import Batch, Condition, Erase, Page, StoreUnavailable, StoreUnfit
from tests.fakes.polling import until
from tests.fakes.postgres import PostgresServer
from tests.fakes.records import a_judgement, an_entry, rows_of

EVERYTHING = Page(tenant="default", as_of_seq=10**9, limit=10**6)


@pytest.fixture
def own_server():
    """A server that the test may kill."""
    with PostgresServer() as server:
        yield server


@pytest.mark.parametrize("place", ["127.0.0.1:port", "[::1", "127.0.0.1:1,[::1"])
def test_an_address_that_cannot_be_read_is_told_by_its_key_and_not_shown(place):
    with pytest.raises(StoreUnfit, match=r"records\.store: .* postgresql://USER@HOST:PORT/DATABASE") as raised:
        PostgresStore(f"postgresql://u:canary@{place}/db", spool="host")
    assert "canary" not in str(raised.value)


def test_question_marks_become_numbered_parameters():
    assert numbered("a = ? AND b IN (?, ?)") == "a = $1 AND b IN ($2, $3)"


class Tail:
    """Three hosts that write at once, and a reader that follows by position."""

    def __init__(self, store, *, batches):
        self.store = store
        self.batches = batches
        self.written = []
        self.seen = []
        self._stop = threading.Event()

    def run(self):
        with ThreadPoolExecutor() as pool:
            tailing = pool.submit(self._follow)
            for done in [pool.submit(self._write) for _ in range(3)]:
                done.result()
            self._stop.set()
            tailing.result()

    def _write(self):
        writer = self.store.writer()
        for _ in range(self.batches):
            entries = [an_entry() for _ in range(3)]
            assert writer.write(Batch(entries=entries, feedback=[a_judgement(entries[0].record.id)])).records == 3
            self.written.extend(entry.record.id for entry in entries)
        writer.close()

    def _follow(self):
        reader, after, last_look = self.store.reader(), 0, False
        while not last_look:
            last_look = self._stop.is_set()
            upto = reader.watermarks("default").seq
            window = Page(tenant="default", after_seq=after, as_of_seq=upto, limit=10**6)
            self.seen.extend((record.seq, record.id) for record in rows_of(reader, window))
            after = upto
        reader.close()


def test_several_hosts_write_at_once_and_no_reader_ever_misses_a_row(postgres_store):
    """A tail by position sees every row once: positions become visible in their order."""
    tail = Tail(postgres_store(partition_rows=1000), batches=40)
    tail.run()
    assert [seq for seq, _ in tail.seen] == list(range(1, 361))
    assert {record_id for _, record_id in tail.seen} == set(tail.written)


def test_a_reader_would_miss_rows_if_positions_came_from_a_sequence(postgres, postgres_store, monkeypatch):
    """Nobody waits for a sequence, so a higher position may be visible first: the test above would notice."""
    tail = Tail(postgres_store(partition_rows=1000), batches=1)
    tail.run()  # makes the partition, which hosts that wait for nobody would make twice
    tail = Tail(tail.store, batches=40)
    schema, really = postgres_store.schema, writing._take
    postgres.sql(
        f"CREATE SEQUENCE {schema}.positions INCREMENT 3 START 12",
        f"GRANT USAGE ON SEQUENCE {schema}.positions TO PUBLIC",
        database="records",
    )

    async def take(session, counter, count):
        if counter != "seq":
            return await really(session, counter, count)
        after = await session.fetchval("SELECT nextval('positions')")
        await session.execute("SELECT pg_sleep(random() * 0.01)")
        return after - count

    monkeypatch.setattr(writing, "_take", take)
    monkeypatch.setattr(writing, "LOCK", "SELECT 1")
    tail.run()
    seen = {record_id for _, record_id in tail.seen}
    assert not set(tail.written) <= seen


def test_a_writer_that_is_cut_off_leaves_no_gap(postgres, postgres_store):
    store = postgres_store()
    writer = store.writer()
    writer.write(Batch(entries=[an_entry()]))
    blocker = Connection(postgres.address, postgres_store.schema)
    blocked = threading.Event()

    async def hold(session):
        async with session.transaction():
            await session.execute("SELECT value FROM counter WHERE name = 'seq' FOR UPDATE")
            blocked.set()
            await session.execute("SELECT pg_sleep(0.3)")

    with ThreadPoolExecutor() as pool:
        holding = pool.submit(blocker.run, hold)
        blocked.wait()
        assert writer.write(Batch(entries=[an_entry()])).records == 1
        holding.result()
    reader = store.reader()
    assert [record.seq for record in rows_of(reader, EVERYTHING)] == [1, 2]
    for each in (reader, writer, blocker):
        each.close()


def test_a_host_that_falls_silent_in_the_middle_of_a_batch_holds_the_others_up_for_a_while_alone(
    postgres_store, monkeypatch
):
    monkeypatch.setattr(connecting, "SILENCE", "300ms")
    silent, other = (postgres_store(spool=name).writer() for name in ("silent", "other"))
    entry = an_entry()
    written = []

    def clock():
        """Asked for in the middle of the batch: this host's event loop stands still, and another host writes."""
        with ThreadPoolExecutor(1) as elsewhere:
            written.append(elsewhere.submit(other.write, Batch(entries=[an_entry()])).result().records)
        return 1_000_000

    silent._clock_us, quick = clock, silent._clock_us
    with pytest.raises(StoreUnavailable):
        silent.write(Batch(entries=[entry]))
    assert written == [1]
    silent._clock_us = quick
    assert silent.write(Batch(entries=[entry])).records == 1
    silent.close()
    other.close()


def test_a_host_knows_its_own_segments_and_open_calls_alone(postgres_store):
    here, there = (postgres_store(spool=name).writer() for name in ("here", "there"))
    call = OpenCall(b"c" * 16, "0-1", "default", "Chat", 5, "key")
    here.write(Batch(opened=[call], progress={"0-1": 7}))
    there.write(Batch(progress={"0-1": 9}))
    assert (here.progress(), there.progress()) == ({"0-1": 7}, {"0-1": 9})
    assert (here.open_calls(), there.open_calls()) == ([call], [])
    there.write(Batch(forget=["0-1"]))
    assert here.progress() == {"0-1": 7}
    here.close()
    there.close()


def test_a_batch_that_crosses_partitions_is_whole(postgres, postgres_store):
    store = postgres_store(partition_rows=8)
    writer, reader = store.writer(), store.reader()
    assert writer.write(Batch(entries=[an_entry(labels={"k": "v"}) for _ in range(30)])).records == 30
    assert len(rows_of(reader, EVERYTHING)) == 30
    assert _tables(postgres, postgres_store.schema, "body_%") == ["body_0", "body_1", "body_2", "body_3"]
    reader.close()
    writer.close()


@pytest.mark.parametrize("table", ["record", "body", "line", "label", "feedback", "tombstone"])
def test_a_statement_that_forgets_the_tenant_still_sees_its_own_alone(postgres_store, table):
    store = postgres_store()
    writer, reader = store.writer(), store.reader()
    for tenant in ("a", "b"):
        entry = an_entry(tenant=tenant, end_user="ann", labels={"k": "v"}, body=Body(b"x", b"y", b"{}"))
        writer.write(Batch(entries=[entry], feedback=[a_judgement(entry.record.id, tenant=tenant)]))
    if table == "tombstone":
        writer.erase(Erase(end_user="ann"), "request")
    careless = f"SELECT DISTINCT tenant FROM {table} WHERE ?::text <> ''"
    assert reader.query("a", careless) == [("a",)]
    assert reader.query("b", careless) == [("b",)]
    reader.close()
    writer.close()


def test_a_reader_cannot_write(postgres_store):
    reader = postgres_store().reader()
    with pytest.raises(StoreUnavailable, match="ReadOnly"):
        reader.query("default", "DELETE FROM record WHERE tenant = ?")
    reader.close()


def test_texts_compare_by_their_bytes_and_nul_has_a_stand_in(postgres_store):
    store = postgres_store()
    writer, reader = store.writer(), store.reader()
    writer.write(Batch(entries=[an_entry(labels={"k": value}) for value in ("a", "B", "é", "z", "\x00")]))
    above = Condition(
        "r.seq IN (SELECT seq FROM label AS l WHERE l.key = ? AND l.value >= ? AND l.value < ?)", ["k", "B", "b"]
    )
    exact = Condition("r.seq IN (SELECT seq FROM label AS l WHERE l.key = ? AND l.value = ?)", ["k", "\x00"])
    assert reader.columns(Page(tenant="default", as_of_seq=9, condition=above), ["seq"]) == [(1,), (2,)]
    assert reader.columns(Page(tenant="default", as_of_seq=9, condition=exact), ["labels"]) == [('{"k": "\\u0000"}',)]
    reader.close()
    writer.close()


def test_a_newer_schema_and_another_programs_are_refused(postgres, postgres_store):
    postgres_store()
    schema = postgres_store.schema
    postgres.sql(f"UPDATE {schema}.llmproxy_schema SET version = {len(MIGRATIONS) + 1}", database="records")
    with pytest.raises(StoreUnfit, match="a newer llmproxy wrote it"):
        postgres_store()
    postgres.sql(f"DROP TABLE {schema}.llmproxy_schema", database="records")
    with pytest.raises(StoreUnfit, match="another program"):
        postgres_store()


@pytest.mark.parametrize(("version", "newer"), [(1, ["rewriting", "secret"]), (2, ["secret"]), (3, ["secret"])])
def test_a_store_of_an_earlier_version_keeps_every_byte(postgres, postgres_store, version, newer):
    """As that version left it: all that later ones added is tables of their own."""
    store = postgres_store()
    writer, reader = store.writer(), store.reader()
    entries = [an_entry(body=Body(b"r%d" % n, b"s", b"l"), labels={"k": "v"}, end_user="ann") for n in range(20)]
    writer.write(Batch(entries=entries, feedback=[a_judgement(entry.record.id) for entry in entries]))
    before = rows_of(reader, EVERYTHING), reader.bodies("default", list(range(1, 21)))
    schema = postgres_store.schema
    postgres.sql(
        *(f"DROP TABLE {schema}.{table}" for table in newer),
        f"UPDATE {schema}.llmproxy_schema SET version = {version}",
        database="records",
    )
    for connection in (writer, reader):
        connection.close()
    writer, reader = (store := postgres_store()).writer(), store.reader()
    assert (rows_of(reader, EVERYTHING), reader.bodies("default", list(range(1, 21)))) == before
    assert writer.erase(Erase(end_user="ann"), "request") == 20
    for connection in (writer, reader):
        connection.close()


def test_the_first_host_that_asks_brings_the_secret_of_all(postgres_store):
    hosts = [postgres_store(spool=name) for name in ("one", "other")]
    assert [host.shared_key(mine) for host, mine in zip(hosts, (b"1" * 32, b"2" * 32), strict=True)] == [b"1" * 32] * 2
    assert hosts[0].shared_key(b"3" * 32) == b"1" * 32


def test_hosts_that_start_at_once_migrate_once(postgres_store):
    with ThreadPoolExecutor(4) as pool:
        stores = [each.result() for each in [pool.submit(postgres_store) for _ in range(4)]]
    reader = stores[0].reader()
    assert reader.query("default", "SELECT version FROM llmproxy_schema WHERE ?::text <> ''") == [(len(MIGRATIONS),)]
    reader.close()


def test_a_schema_must_have_a_plain_name():
    with pytest.raises(ValueError, match="lower-case"):
        PostgresStore("postgresql://127.0.0.1:1/x", spool="host", schema='x"; DROP')


def test_a_server_that_is_not_there_is_unavailable():
    with pytest.raises(StoreUnavailable):
        PostgresStore("postgresql://llmproxy@127.0.0.1:1/records", spool="host")


def test_what_was_committed_outlives_a_killed_server_and_the_connections_come_back(own_server):
    store = PostgresStore(own_server.address, spool="host")
    writer, reader = store.writer(), store.reader()
    entry = an_entry(body=Body(b"r" * 5000, b"s"))
    writer.write(Batch(entries=[entry], progress={"s": 7}))
    own_server.kill()
    with pytest.raises(StoreUnavailable):
        writer.write(Batch(entries=[an_entry()]))
    with pytest.raises(StoreUnavailable):
        reader.watermarks("default")
    own_server.start()
    assert writer.progress() == {"s": 7}
    assert writer.write(Batch(entries=[entry, an_entry()])).records == 1
    assert reader.bodies("default", [1])[1].request == b"r" * 5000
    assert [record.seq for record in rows_of(reader, EVERYTHING)] == [1, 2]
    reader.close()
    writer.close()


def test_a_session_that_cannot_be_prepared_is_closed(own_server):
    store = PostgresStore(own_server.address, spool="host")
    own_server.sql("REVOKE TEMP ON DATABASE records FROM PUBLIC, llmproxy")
    writer = store.writer()
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="the role may not do this"):
            writer.progress()
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'llmproxy'"
    asyncio.run(until(lambda: own_server.sql(sessions) == "0"))
    own_server.sql("GRANT TEMP ON DATABASE records TO llmproxy")
    assert writer.progress() == {}
    writer.close()


def test_a_server_that_has_stopped_holds_no_thread_for_ever(own_server, monkeypatch):
    PostgresStore(own_server.address, spool="host").writer().close()  # makes the tables, in its own time
    monkeypatch.setattr("llmproxy_grpc.records.postgres.connection.COMMAND_TIMEOUT", 1.0)
    monkeypatch.setattr("llmproxy_grpc.records.postgres.connection.CONNECT_TIMEOUT", 1.0)
    writer = PostgresStore(own_server.address, spool="host").writer()
    writer.write(Batch(entries=[an_entry()]))
    own_server.freeze()
    try:
        for _ in range(2):  # the session that is there, then a new one
            with pytest.raises(StoreUnavailable):
                writer.write(Batch(entries=[an_entry()]))
    finally:
        own_server.thaw()
    monkeypatch.setattr("llmproxy_grpc.records.postgres.connection.CONNECT_TIMEOUT", 5.0)
    monkeypatch.setattr("llmproxy_grpc.records.postgres.connection.COMMAND_TIMEOUT", 20.0)
    assert writer.write(Batch(entries=[an_entry()])).records == 1
    writer.close()


def test_erased_content_is_gone_from_the_tables_files(own_server):
    secret, kept = b"erase-me-0123456789abcdef", b"kept-content-0123456789"
    writer = PostgresStore(own_server.address, spool="host", partition_rows=8).writer()
    gone = an_entry(Body(secret * 3, secret, secret), end_user="ann", labels={"k": secret.decode()})
    others = [an_entry(Body(kept * 3, kept, kept)) for _ in range(20)]
    judgement = a_judgement(gone.record.id, content=secret)
    writer.write(Batch(entries=[*others[:10], gone, *others[10:]], feedback=[judgement]))
    own_server.sql("CHECKPOINT", database="records")
    assert _holds(own_server, secret)
    assert writer.erase(Erase(end_user="ann"), "request") == 1
    own_server.sql("CHECKPOINT", database="records")
    assert not _holds(own_server, secret)
    assert _holds(own_server, kept)
    writer.close()


def test_erasure_that_was_cut_off_is_made_up_for_by_the_next(own_server, monkeypatch):
    secret = b"erase-me-0123456789abcdef"
    writer = PostgresStore(own_server.address, spool="host", partition_rows=8).writer()
    gone = [an_entry(Body(secret * 3, secret, secret), end_user="ann") for _ in range(20)]
    # Something is left of each partition, which would be dropped otherwise.
    writer.write(Batch(entries=[entry for each in gone for entry in (each, an_entry())]))
    with monkeypatch.context() as patch:
        patch.setattr("llmproxy_grpc.records.postgres.deletion.REWRITE_TIMEOUT", 0.0)
        with pytest.raises(StoreUnavailable):
            writer.erase(Erase(end_user="ann"), "request")
    own_server.sql("CHECKPOINT", database="records")
    assert _holds(own_server, secret)
    assert writer.erase(Erase(end_user="ann"), "request") == 0
    own_server.sql("CHECKPOINT", database="records")
    assert not _holds(own_server, secret)
    assert own_server.sql("SELECT count(*) FROM llmproxy.rewriting", database="records").strip() == "0"
    writer.close()


def _tables(server, schema, like):
    sql = f"SELECT relname FROM pg_class WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r'"
    return server.sql(f"{sql} AND relname LIKE '{like}' ORDER BY 1", database="records").split()


def _holds(server, needle):
    return any(needle in path.read_bytes() for path in Path(server.data / "base").rglob("*") if path.is_file())
