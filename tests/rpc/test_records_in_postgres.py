"""The real server with its records in a real PostgreSQL, which dies under it."""

import asyncio
import os
import time

import pytest

from llmproxy_grpc.records.postgres.store import PostgresStore
from llmproxy_grpc.records.record import spell_id
from llmproxy_grpc.records.store import Page
from tests.fakes.polling import until
from tests.fakes.postgres import PostgresServer
from tests.fakes.records import rows_of
from tests.fakes.requests import chat_request

FROZEN = float(os.environ.get("LLMPROXY_FROZEN_SECONDS", "4"))
EVERYTHING = Page(tenant="default", as_of_seq=10**9, limit=10**6)


@pytest.fixture
def postgres():
    with PostgresServer() as server:
        yield server


def ids_in(address):
    reader = PostgresStore(address, spool="test").reader()
    try:
        return [spell_id(record.id) for record in rows_of(reader, EVERYTHING)]
    finally:
        reader.close()


async def test_no_chat_notices_a_database_that_stands_still_and_then_dies(serve, postgres, tmp_path, record_property):
    """Under load all the while; every record is there at the end, once."""
    config = {"records": {"enabled": True, "directory": str(tmp_path / "records"), "store": postgres.address}}
    answered: list[str] = []
    slowest = {"before": 0.0, "frozen": 0.0, "dead": 0.0, "back": 0.0}

    async def chats(server, phase: str, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while (began := time.monotonic()) < ends_at:
            answered.append((await server.stub.Chat(chat_request(), timeout=10)).id)
            slowest[phase] = max(slowest[phase], time.monotonic() - began)

    async def crowd(server, phase: str, seconds: float) -> None:
        await asyncio.gather(*(chats(server, phase, seconds) for _ in range(16)))

    async with serve(config) as server:
        await crowd(server, "before", 1)
        postgres.freeze()
        try:
            await crowd(server, "frozen", FROZEN)
        finally:
            postgres.thaw()
        await asyncio.to_thread(postgres.kill)
        await crowd(server, "dead", 1)
        starting = asyncio.create_task(asyncio.to_thread(postgres.start))
        await crowd(server, "back", 1)
        await starting

        async def all_there():
            return len(await asyncio.to_thread(ids_in, postgres.address)) >= len(answered)

        await until(all_there, within=60)
    stored = await asyncio.to_thread(ids_in, postgres.address)
    record_property("slowest", {phase: round(seconds, 3) for phase, seconds in slowest.items()})
    assert sorted(stored) == sorted(answered)
    assert max(slowest.values()) < 2.0


async def test_no_call_is_lost_when_the_database_dies_and_comes_back(serve, postgres, tmp_path):
    config = {"records": {"enabled": True, "directory": str(tmp_path / "records"), "store": postgres.address}}
    async with serve(config) as server:
        banner = server.output.getvalue()
        assert f"postgresql://127.0.0.1:{postgres.port}/records" in banner
        answered = [(await server.stub.Chat(chat_request(), timeout=10)).id]
        await until(lambda: asyncio.to_thread(ids_in, postgres.address), within=15)
        await asyncio.to_thread(postgres.kill)
        answered += [(await server.stub.Chat(chat_request(), timeout=10)).id for _ in range(5)]
        await asyncio.to_thread(postgres.start)

        async def all_there():
            return await asyncio.to_thread(ids_in, postgres.address) == answered

        await until(all_there, within=20)
