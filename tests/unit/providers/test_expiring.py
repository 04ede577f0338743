"""Credentials that expire: fetched once for all who wait, in time, and used while they hold."""

import asyncio
import threading

import pytest

from llmproxy_grpc.errors import CredentialsRejected
from llmproxy_grpc.providers.expiring import EARLY, Expiring


class Source:
    """Gives a credential that holds for an hour, or fails."""

    def __init__(self) -> None:
        self.time = 0.0
        self.fetched = 0
        self.failing = False
        self.threads: set[int] = set()

    def fetch(self) -> tuple[str, float]:
        self.fetched += 1
        self.threads.add(threading.get_ident())
        if self.failing:
            raise OSError("no network")
        return f"test-token-{self.fetched}", self.time + 3600

    def expiring(self) -> Expiring[str]:
        return Expiring(self.fetch, now=lambda: self.time)


async def test_many_who_wait_get_one_credential_fetched_off_the_loop():
    source = Source()
    expiring = source.expiring()
    assert set(await asyncio.gather(*(expiring.get() for _ in range(20)))) == {"test-token-1"}
    assert source.fetched == 1
    assert threading.get_ident() not in source.threads


async def test_one_who_leaves_takes_nothing_from_the_others():
    source = Source()
    expiring = source.expiring()
    leaving = asyncio.create_task(expiring.get())
    staying = asyncio.create_task(expiring.get())
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "test-token-1"


async def test_a_credential_is_fetched_anew_before_its_end():
    source = Source()
    expiring = source.expiring()
    await expiring.get()
    source.time = 3600 - EARLY - 1
    assert await expiring.get() == "test-token-1"
    source.time = 3600 - EARLY
    assert await expiring.get() == "test-token-2"


async def test_an_old_credential_serves_until_its_end_where_no_new_one_is_to_be_had():
    source = Source()
    expiring = source.expiring()
    await expiring.get()
    source.failing, source.time = True, 3600 - EARLY
    assert await expiring.get() == "test-token-1"
    assert await expiring.get() == "test-token-1"
    assert source.fetched == 2, "nobody asks again at once"
    source.time = 3600
    with pytest.raises(CredentialsRejected):
        await expiring.get()
    source.failing = False
    source.time = 3700
    assert await expiring.get() == "test-token-4"


async def test_without_any_credential_the_next_caller_asks_again():
    source = Source()
    source.failing = True
    expiring = source.expiring()
    for _ in range(2):
        with pytest.raises(CredentialsRejected):
            await expiring.get()
    source.failing = False
    assert await expiring.get() == "test-token-3"
