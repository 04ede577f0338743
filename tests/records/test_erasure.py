"""Erasure: what is erased is gone from every file, beside a running server and without one."""

import asyncio
import contextlib
import io
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from llmproxy_grpc import cli
from llmproxy_grpc.export.plans import Frozen, Plans
from llmproxy_grpc.export.spec import Choice, Part, Selection
from llmproxy_grpc.records import erasure
from llmproxy_grpc.records.erasure import erase
from llmproxy_grpc.records.filters import Filter, Window
from llmproxy_grpc.records.keeping import Keeping, Terms
from llmproxy_grpc.records.lines import openai_chat_line
from llmproxy_grpc.records.places import Places
from llmproxy_grpc.records.record import Entry
from llmproxy_grpc.records.spool.entries import Judged
from llmproxy_grpc.records.spool.segments import create_locked, segments
from llmproxy_grpc.records.sqlite.store import SqliteStore
from llmproxy_grpc.records.store import LEASE, Batch, Erase, StoreUnavailable
from tests.fakes.kept import Kept
from tests.fakes.records import a_record, an_id
from tests.fakes.spooled import an_end, id_bytes

CANARY = "canary-7f3a91"


def everything(folder) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def clock_us() -> int:
    return time.time_ns() // 1000


def secret(**different):
    return an_end(
        text=f"I am {CANARY}", reply=f"Hello {CANARY}", labels={"note": CANARY}, started_at=clock_us(), **different
    )


def comment(end):
    return Judged(an_id(), "default", id_bytes(end.id), "helpful", 3, None, CANARY.encode(), "user", 5)


async def command(*arguments: str) -> tuple[int, str]:
    """Runs `llmproxy records …` in a thread."""
    printed = io.StringIO()

    def run() -> int:
        with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as left:
            cli.main(["records", *arguments])
        return int(left.value.code)

    return await asyncio.to_thread(run), printed.getvalue()


@pytest.mark.parametrize("by", ["id", "end_user", "conversation"])
@pytest.mark.parametrize("running", [False, True])
async def test_what_is_erased_is_gone_from_every_byte(tmp_path, by, running):
    folder = tmp_path / "records"
    file = tmp_path / "llmproxy.yaml"
    file.write_text(json.dumps({"records": {"directory": str(folder)}}))
    gone = secret(end_user_id="ann", conversation_id="c-1")
    stays = [an_end(text="kept words " * 50, end_user_id="bob", started_at=clock_us()) for _ in range(20)]
    keeping = Keeping(Terms(folder=folder), openai_chat_line)
    async with keeping:
        for end in (stays[0], gone, *stays[1:]):
            await keeping.recorder.complete(end)
        await keeping.recorder.judged(comment(gone))
        await Kept(folder).wait(21)
        assert CANARY.encode() in everything(folder)
        if running:
            status, printed = await command("erase", "-c", str(file), *arguments(by, gone))
            assert CANARY.encode() not in everything(folder)
    if not running:
        status, printed = await command("erase", "-c", str(file), *arguments(by, gone))
        assert CANARY.encode() not in everything(folder)
    assert (status, printed) == (0, f"erased 1 record in {folder}\n")
    assert {record.id for record in Kept(folder).records()} == {id_bytes(end.id) for end in stays}
    assert Kept(folder).statistics().tombstones == 1
    status, printed = await command("stats", "-c", str(file))
    assert status == 0
    assert "records       20\n" in printed
    assert "erased        1\n" in printed
    status, printed = await command("erased", "-c", str(file))
    told = json.loads(printed)
    assert (status, told["id"], told["seq"], told["reason"]) == (0, gone.id, 2, "request")
    assert datetime.fromisoformat(told["time"]) <= datetime.now(UTC)
    assert await command("erased", "-c", str(file), "--tenant", "another") == (0, "")


@pytest.fixture(autouse=True)
def no_lease(monkeypatch):
    """Nobody exports here, so nobody is waited for."""
    monkeypatch.setattr(erasure, "LEASE", 0.0)


def test_an_erasure_is_acknowledged_a_lease_after_its_commit_when_no_export_sends_what_it_read_before(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(erasure, "LEASE", LEASE)
    places = Places(tmp_path)
    forms = ("ann", "5f1c", "nobody")
    writer = SqliteStore(places.store).writer()
    writer.write(Batch(entries=[Entry(a_record(end_user=form)) for form in forms[:2]]))
    writer.close()
    waits = []

    def sleep(seconds):
        waits.append((seconds, Kept(tmp_path).records()))

    asked = (Erase(end_user=form) for form in forms)
    assert erase(places, lambda: SqliteStore(places.store), *asked, clock_us=clock_us, sleep=sleep) == 2
    assert waits == [(LEASE, [])]


def arguments(by, end):
    return {"id": ["--id", end.id], "end_user": ["--end-user", "ann"], "conversation": ["--conversation", "c-1"]}[by]


async def test_hashed_end_users_are_erased_by_their_own_ids(tmp_path):
    folder = tmp_path / "records"
    file = tmp_path / "llmproxy.yaml"
    file.write_text(json.dumps({"records": {"directory": str(folder), "end_user": "hash"}}))
    keeping = Keeping(Terms(folder=folder, hash_end_users=True))
    async with keeping:
        await keeping.recorder.complete(an_end(end_user_id=keeping.end_users.kept("ann"), started_at=clock_us()))
        await Kept(folder).wait(1)
    assert await command("erase", "-c", str(file), "--end-user", "bob") == (0, f"erased 0 records in {folder}\n")
    assert await command("erase", "-c", str(file), "--end-user", "ann") == (0, f"erased 1 record in {folder}\n")


async def test_what_lies_in_the_spool_of_a_server_that_is_gone_is_erased_as_well(tmp_path):
    folder = tmp_path / "records"
    keeping = Keeping(Terms(folder=folder))
    keeping._ingesting.start = lambda: None  # nobody ingests
    keeping._ingesting.close = lambda: None
    async with keeping:
        await keeping.recorder.complete(secret(end_user_id="ann"))
    places = Places(folder)
    assert segments(places.spool)
    assert erase(places, lambda: SqliteStore(places.store), Erase(end_user="ann"), clock_us=clock_us) == 1
    assert CANARY.encode() not in everything(folder)


def test_quarantine_is_emptied_since_nobody_can_tell_whose_it_is(tmp_path):
    places = Places(tmp_path)
    places.quarantine.mkdir()
    (places.quarantine / "x.bin").write_text(CANARY)
    erase(places, lambda: SqliteStore(places.store), Erase(end_user="ann"), clock_us=clock_us)
    assert CANARY.encode() not in everything(tmp_path)


def test_nothing_is_said_to_be_erased_while_the_spool_cannot_be_emptied(tmp_path):
    places = Places(tmp_path)
    places.spool.mkdir()
    create_locked(places.spool / "000-a-00000001.spool")
    with pytest.raises(StoreUnavailable, match="nothing was erased"):
        erase(places, lambda: SqliteStore(places.store), Erase(end_user="ann"), patience=0.3, clock_us=clock_us)


@pytest.mark.parametrize(
    "wrong",
    [["--id", "nobody"], ["--id", ""], ["--end-user", ""], ["--conversation", ""], ["--id", "x", "--tenant", ""]],
)
async def test_what_names_nobody_is_refused_on_standard_error(tmp_path, capsys, wrong):
    file = tmp_path / "llmproxy.yaml"
    file.write_text(json.dumps({"records": {"directory": str(tmp_path / "records")}}))
    assert await command("erase", "-c", str(file), *wrong) == (2, "")
    assert capsys.readouterr().err.startswith("llmproxy: --")


@pytest.mark.parametrize("asked", [["stats"], ["erase", "--end-user", "ann"]])
@pytest.mark.parametrize("end_user", ["raw", "hash"])
async def test_a_folder_without_records_is_told_and_not_made(tmp_path, capsys, asked, end_user):
    folder = tmp_path / "elsewhere"
    file = tmp_path / "llmproxy.yaml"
    file.write_text(json.dumps({"records": {"directory": str(folder), "end_user": end_user}}))
    assert await command(*asked, "-c", str(file)) == (1, "")
    said = capsys.readouterr().err
    assert said.startswith(f"llmproxy: there are no records in {folder}: ")
    assert "--config" in said
    assert not folder.exists()


async def test_a_reader_that_holds_the_log_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr("llmproxy_grpc.records.sqlite.connection.BUSY_TIMEOUT_MS", 10)
    places = Places(tmp_path)
    store = SqliteStore(places.store)
    reader = store.reader()
    reader.query("", "SELECT ?")
    reader._connection.execute("BEGIN")
    reader.query("", "SELECT count(*) FROM record WHERE tenant = ?")
    writer = store.writer()
    with pytest.raises(StoreUnavailable, match="erase again"):
        writer.erase(Erase(id=UUID(int=5).bytes), "request")
    reader._connection.execute("ROLLBACK")
    assert writer.erase(Erase(id=UUID(int=5).bytes), "request") == 0
    writer.close()
    reader.close()


PLAN_OF_CANARY = Choice(Filter(end_user_ids=(CANARY,), conversation_ids=(CANARY,)), Selection())


def test_plans_of_exports_are_emptied_since_they_name_whose_records_they_are(tmp_path):
    places = Places(tmp_path)
    plans = Plans(places.plans, b"k" * 32)
    with plans.writing("whole") as writer:
        writer.freeze(Frozen(choice=PLAN_OF_CANARY, window=Window("default", 0, 0, 0), listed=False))
    (places.plans / "left-by-a-crash.plan.1").write_text(CANARY)
    kept_open = plans.open("whole", "default")
    assert CANARY.encode() in everything(places.plans)
    erase(places, lambda: SqliteStore(places.store), Erase(end_user="ann"), clock_us=clock_us)
    assert CANARY.encode() not in everything(tmp_path)
    assert list(places.plans.iterdir()) == []
    assert plans.open("whole", "default") is None
    assert kept_open.rows(0, Part.ALL) == []  # an export that runs goes on
    kept_open.close()


def test_a_plan_that_is_being_made_during_an_erasure_does_not_outlive_it(tmp_path):
    places = Places(tmp_path)
    plans = Plans(places.plans, b"k" * 32)
    with plans.writing("half") as writer:
        writer.freeze(Frozen(choice=PLAN_OF_CANARY, window=Window("default", 0, 0, 0), listed=False))
        erase(places, lambda: SqliteStore(places.store), Erase(end_user="ann"), clock_us=clock_us)
    assert plans.open("half", "default") is None
    assert CANARY.encode() not in everything(tmp_path)


def test_a_plan_that_becomes_whole_between_two_looks_of_an_erasure_does_not_outlive_it(tmp_path, monkeypatch):
    places = Places(tmp_path)
    places.plans.mkdir()
    half = places.plans / "half.plan.1"
    half.write_text(CANARY)
    really = Path.unlink

    def unlink(path, **given):
        if path == half and half.exists():
            half.rename(places.plans / "half.plan")
        really(path, **given)

    monkeypatch.setattr(Path, "unlink", unlink)
    erase(places, lambda: SqliteStore(places.store), Erase(end_user="ann"), clock_us=clock_us)
    assert list(places.plans.iterdir()) == []
