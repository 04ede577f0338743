"""The real server with its records in a real PostgreSQL, which dies under it."""

import asyncio

import pytest

from llmproxy_grpc.records.postgres.store import PostgresStore
from llmproxy_grpc.records.record import spell_id
from llmproxy_grpc.records.store import Page
from tests.fakes.polling import until
from tests.fakes.postgres import PostgresServer
from tests.fakes.requests import chat_request

EVERYTHING = Page(tenant="default", as_of_seq=10**9, limit=10**6)


@pytest.fixture
def postgres():
    with PostgresServer() as server:
        yield server


def ids_in(address):
    reader = PostgresStore(address, spool="test").reader()
    try:
        return [spell_id(record.id) for record in reader.page(EVERYTHING)]
    finally:
        reader.close()


async def test_no_call_is_lost_or_slowed_when_the_database_dies_and_comes_back(serve, postgres, tmp_path):
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
