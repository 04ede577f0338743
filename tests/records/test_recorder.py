"""What the event loop hands to the spool: when, together with what, and who waits how long."""

import asyncio
import time

import pytest

from llmproxy_grpc.records.recorder import PATIENCE, Recorder
from llmproxy_grpc.records.spool.entries import Began, Ended, Judged
from llmproxy_grpc.records.tally import Tally
from tests.fakes.records import an_id
from tests.fakes.spooled import a_begin, an_end, new_id


class Spool:
    """Takes frames; tells at once that they are written, unless it is stuck."""

    def __init__(self):
        self.tally = Tally()
        self.puts = []
        self.stuck = False
        self.sound = True
        self.recorder = None

    def put(self, offers):
        self.puts.append([offer.said for offer in offers])
        assert self.tally.accepted == sum(isinstance(said, Ended) for said in self.said)
        if not self.stuck:
            self.recorder.settle([offer.waiter for offer in offers if offer.waiter is not None], True)

    @property
    def said(self):
        return [said for put in self.puts for said in put]


@pytest.fixture
async def spool():
    return Spool()


def recording(spool, durability="spool"):
    spool.recorder = Recorder(spool, spool.tally, durability)
    return spool.recorder


async def one_call(recorder):
    recorder.began(a_begin(new_id()))
    await asyncio.sleep(0)
    return await recorder.complete(an_end())


async def test_who_is_alone_waits_for_nobody(spool):
    recorder = recording(spool)
    began = time.monotonic()
    for _ in range(200):
        assert await one_call(recorder)
    # Each with its begin, and in a turn of the loop: with a wait each would take milliseconds.
    assert [[type(said) for said in put] for put in spool.puts] == [[Began, Ended]] * 200
    assert time.monotonic() - began < 200 * 0.003


async def test_calls_beside_each_other_share_hand_overs_and_each_is_answered(spool):
    recorder = recording(spool)

    async def calls():
        return [await one_call(recorder) for _ in range(10)]

    answers = await asyncio.gather(*[calls() for _ in range(8)])
    assert answers == [[True] * 10] * 8
    assert sum(isinstance(said, Ended) for said in spool.said) == spool.tally.accepted == 80
    assert len(spool.puts) < 40


async def test_a_spool_that_is_stuck_holds_an_answer_up_for_a_moment_only(spool):
    spool.stuck = True
    recorder = recording(spool)
    began = time.monotonic()
    assert not any(await asyncio.gather(*[one_call(recorder) for _ in range(4)]))
    assert time.monotonic() - began < 10 * PATIENCE["spool"]
    assert spool.tally.unconfirmed == 4
    assert spool.tally.accepted == 4


async def test_nobody_waits_if_nothing_is_promised(spool):
    spool.stuck = True
    recorder = recording(spool, "async")
    assert not await one_call(recorder)
    assert spool.tally.unconfirmed == 0
    await asyncio.sleep(0.01)
    assert [type(said) for said in spool.said] == [Began, Ended]


async def test_who_leaves_while_it_waits_is_recorded_all_the_same(spool):
    spool.stuck = True
    recorder = recording(spool)
    call = asyncio.create_task(one_call(recorder))
    while not spool.puts:
        await asyncio.sleep(0)
    call.cancel()
    assert (await asyncio.gather(call, return_exceptions=True))[0].__class__ is asyncio.CancelledError
    spool.stuck = False
    assert await one_call(recorder)
    assert spool.tally.accepted == 2
    # The first is not taken for one that still runs.
    assert await one_call(recorder)
    assert len(spool.puts) == 3


async def test_a_judgement_waits_longer_than_an_answer_does(spool):
    spool.stuck = True
    recorder = recording(spool)
    judging = asyncio.create_task(
        recorder.judged(Judged(an_id(), "default", an_id(), "helpful", 3, None, None, "user", 5))
    )
    assert not await one_call(recorder)
    await asyncio.sleep(2 * PATIENCE["spool"])
    assert not judging.done()
    judging.cancel()


async def test_closing_hands_over_what_waits(spool):
    recorder = recording(spool)
    recorder.began(a_begin(new_id()))
    recorder.ended(an_end())
    recorder.close()
    assert [type(said) for said in spool.said] == [Began, Ended]
    assert spool.tally.accepted == 1
