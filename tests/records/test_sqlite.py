"""What is SQLite's own: library, file, schema, plans."""

import os
import random
import shutil
import stat
from pathlib import Path

import apsw
import pytest

from llmproxy_grpc.records.record import Body
from llmproxy_grpc.records.sqlite.connection import connect_writer
from llmproxy_grpc.records.sqlite.library import check_library
from llmproxy_grpc.records.sqlite.reader import page_sql
from llmproxy_grpc.records.sqlite.schema import MIGRATIONS, migrate
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.store import Batch, Erase, Page, StoreUnavailable, StoreUnfit
from tests.fakes.records import an_entry, rows_of


@pytest.mark.parametrize("version", ["3.7.0", "3.40.1", "3.44.5", "3.45.0", "3.50.6", "3.51.2", "3.51.0"])
def test_a_library_with_the_flaw_is_refused(version):
    with pytest.raises(StoreUnfit, match=r"3\.51\.3 or newer"):
        check_library(version)


@pytest.mark.parametrize("version", ["3.6.23", "3.44.6", "3.44.7", "3.50.7", "3.51.3", "3.52.0", "4.0.0"])
def test_a_library_without_the_flaw_is_taken(version):
    check_library(version)


def test_the_library_in_use_is_fit():
    check_library(apsw.sqlite_lib_version())


def test_the_file_is_for_its_owner_alone(tmp_path):
    store = SqliteStore(tmp_path / "made" / "records.sqlite3")
    writer = store.writer()
    writer.write(Batch(entries=[an_entry()]))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "made").iterdir()}
    writer.close()
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700


def test_a_commit_survives_a_power_cut_and_what_is_deleted_is_overwritten(tmp_path):
    store = SqliteStore(tmp_path / "records.sqlite3")
    connection = connect_writer(tmp_path / "records.sqlite3")
    names = ("journal_mode", "synchronous", "secure_delete", "auto_vacuum", "journal_size_limit")
    assert [connection.pragma(name) for name in names] == ["wal", 2, 1, 2, 64 * 1024 * 1024]
    connection.close()
    assert store


def test_a_newer_file_is_refused(tmp_path):
    path = tmp_path / "records.sqlite3"
    SqliteStore(path)
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", len(MIGRATIONS) + 1)
    connection.close()
    with pytest.raises(StoreUnfit, match="a newer llmproxy wrote it"):
        SqliteStore(path)


@pytest.mark.parametrize("version", [0, len(MIGRATIONS)])
def test_a_file_of_another_program_is_refused(tmp_path, version):
    path = tmp_path / "records.sqlite3"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE theirs (x)")
    connection.pragma("user_version", version)
    connection.close()
    with pytest.raises(StoreUnfit, match="another program"):
        SqliteStore(path)


def test_what_is_no_database_waits_for_somebody_to_mend_it(tmp_path):
    path = tmp_path / "records.sqlite3"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable):
        SqliteStore(path)


def test_migrations_run_in_order_and_once(tmp_path):
    connection = connect_writer(tmp_path / "f.sqlite3")
    first = "CREATE TABLE a (x);"
    migrate(connection, (first,))
    migrate(connection, (first, "ALTER TABLE a ADD COLUMN y; INSERT INTO a VALUES (1, 2);"))
    migrate(connection, (first, "ALTER TABLE a ADD COLUMN y; INSERT INTO a VALUES (1, 2);"))
    assert connection.execute("SELECT * FROM a").fetchall() == [(1, 2)]
    assert connection.pragma("user_version") == 2
    connection.close()


def test_a_migration_that_fails_changes_nothing(tmp_path):
    connection = connect_writer(tmp_path / "f.sqlite3")
    migrate(connection, ("CREATE TABLE a (x);",))
    with pytest.raises(apsw.SQLError):
        migrate(connection, ("CREATE TABLE a (x);", "CREATE TABLE b (x);", "CREATE TABLE nonsense"))
    assert connection.pragma("user_version") == 1
    assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchall() == [(1,)]
    connection.close()


def test_a_reader_cannot_write(tmp_path):
    reader = SqliteStore(tmp_path / "records.sqlite3").reader()
    with pytest.raises(StoreUnavailable):
        reader.query("default", "DELETE FROM record WHERE tenant = ?")
    reader.close()


def test_a_page_is_read_in_the_order_of_positions_without_sorting(tmp_path):
    path = tmp_path / "records.sqlite3"
    SqliteStore(path)
    connection = apsw.Connection(str(path))
    plan = connection.execute("EXPLAIN QUERY PLAN " + page_sql("r.seq", "TRUE"), ("default", 0, 9, 512)).fetchall()
    assert not any("TEMP B-TREE" in row[3] for row in plan), plan
    assert "INTEGER PRIMARY KEY" in plan[0][3]
    connection.close()


def test_a_locked_store_is_unavailable_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("llmproxy_grpc.records.sqlite.connection.BUSY_TIMEOUT_MS", 20)
    path = tmp_path / "records.sqlite3"
    writer = SqliteStore(path).writer()
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        writer.write(Batch(entries=[an_entry()]))
    other.execute("ROLLBACK")
    other.close()
    assert writer.write(Batch(entries=[an_entry()])).records == 1
    writer.close()


def test_erased_content_is_gone_from_the_bytes_of_the_files(tmp_path):
    secret, kept = os.urandom(24).hex().encode(), b"kept-" * 300
    path = tmp_path / "records.sqlite3"
    store = SqliteStore(path)
    writer = store.writer()
    entries = [an_entry(Body(secret, secret * 40, secret), end_user="ann", labels={"k": secret.decode()})]
    writer.write(Batch(entries=[*entries, *(an_entry(Body(kept, kept, kept)) for _ in range(50))]))
    assert secret in b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert writer.erase(Erase(end_user="ann"), "request") == 1
    assert secret not in b"".join(each.read_bytes() for each in tmp_path.iterdir())
    reader = store.reader()
    assert len(rows_of(reader, Page(tenant="default", as_of_seq=99))) == 50
    reader.close()
    writer.close()
    assert Path(path).stat().st_size


def test_a_log_that_a_power_cut_has_shortened_gives_whole_batches(tmp_path):
    path = tmp_path / "store" / "records.sqlite3"
    writer = SqliteStore(path).writer()
    ends = [0]
    for size in (3, 1, 7, 2, 5, 4, 6, 1):
        writer.write(Batch(entries=[an_entry() for _ in range(size)], progress={"s": ends[-1] + size}))
        ends.append(ends[-1] + size)
    log = path.with_name(path.name + "-wal").read_bytes()
    file = path.read_bytes()
    writer.close()
    chance = random.Random(3)
    seen = set()
    for number, cut in enumerate([0, len(log), *(chance.randrange(len(log)) for _ in range(200))]):
        copy = tmp_path / f"cut-{number}" / "records.sqlite3"
        copy.parent.mkdir()
        copy.write_bytes(file)
        copy.with_name(copy.name + "-wal").write_bytes(log[:cut])
        store = SqliteStore(copy)
        reader, again = store.reader(), store.writer()
        stored = [record.seq for record in rows_of(reader, Page(tenant="default", as_of_seq=99))]
        assert stored == list(range(1, len(stored) + 1))
        assert len(stored) in ends
        assert again.progress().get("s", 0) == len(stored)
        connection = apsw.Connection(str(copy))
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        connection.close()
        reader.close()
        again.close()
        shutil.rmtree(copy.parent)
        seen.add(len(stored))
    assert len(seen) > 5
