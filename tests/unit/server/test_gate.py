import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from llmproxy_grpc.calls import Criticality
from llmproxy_grpc.errors import Draining
from llmproxy_grpc.server.gate import MOST_WAITING, STANDING, Gate
from tests.fakes.clock import FakeClock

SHEDDABLE, SHEDDABLE_PLUS, CRITICAL, CRITICAL_PLUS = Criticality
LONG = 60.0


class Asking:
    """Calls at a gate of so many slots; `got` has the names of those that got one, in order."""

    def __init__(self, limit=1):
        self.limit = limit
        self.clock = FakeClock()
        self.gate = Gate(lambda: self.limit, self.clock)
        self.got = []

    def fill(self, criticality=CRITICAL):
        while self.gate.enter(criticality):
            pass

    async def wait(self, name, criticality=CRITICAL, patience=LONG):
        async def waiting():
            if await self.gate.wait(criticality, patience):
                self.got.append(name)
                return True
            return False

        task = asyncio.create_task(waiting())
        await settled()
        return task

    async def leave(self):
        self.gate.leave()
        await settled()


async def settled():
    for _ in range(4):
        await asyncio.sleep(0)


async def test_whoever_waited_longest_goes_first():
    asking = Asking()
    asking.fill()
    tasks = [await asking.wait(name) for name in "x"]
    asking.limit = 10
    asking.fill()
    tasks += [await asking.wait(name) for name in "yz"]
    for _ in range(3):
        await asking.leave()
    assert asking.got == ["x", "y", "z"]
    assert [await task for task in tasks] == [True] * 3
    assert asking.gate.waiting == 0


async def test_in_a_queue_that_stands_the_newest_goes_first():
    asking = Asking(limit=3)
    asking.fill()
    for name in "xyz":
        await asking.wait(name)
    asking.clock.advance(STANDING + 0.01)
    for _ in range(3):
        await asking.leave()
    assert asking.got == ["z", "y", "x"]


async def test_a_queue_that_was_empty_meanwhile_does_not_stand():
    asking = Asking(limit=2)
    asking.fill()
    await asking.wait("a")
    asking.clock.advance(STANDING + 0.01)
    await asking.leave()
    for name in "bc":
        await asking.wait(name)
    await asking.leave()
    await asking.leave()
    assert asking.got == ["a", "b", "c"]


async def test_the_more_critical_goes_first_whenever_it_came():
    asking = Asking(limit=4)
    asking.fill()
    for criticality in (SHEDDABLE, CRITICAL, CRITICAL_PLUS, SHEDDABLE_PLUS):
        await asking.wait(criticality.name, criticality)
    for _ in range(4):
        await asking.leave()
    assert asking.got == ["CRITICAL_PLUS", "CRITICAL", "SHEDDABLE_PLUS", "SHEDDABLE"]


def test_a_fifth_of_the_slots_is_kept_for_the_critical():
    asking = Asking(limit=10)
    asking.fill(SHEDDABLE_PLUS)
    assert asking.gate.running == 8
    asking.fill(CRITICAL)
    assert asking.gate.running == 10


async def test_a_free_slot_of_the_reserve_is_no_slot_for_those_who_wait_beside_it():
    asking = Asking(limit=5)
    asking.fill(SHEDDABLE)
    task = await asking.wait("x", SHEDDABLE)
    assert asking.gate.enter(CRITICAL)
    await asking.leave()
    assert asking.got == []
    await asking.leave()
    assert asking.got == ["x"]
    assert await task


async def test_patience_ends():
    asking = Asking()
    asking.fill()
    assert await asking.gate.wait(CRITICAL, 0.01) is False
    assert await asking.gate.wait(CRITICAL, 0) is False
    assert (asking.gate.waiting, asking.gate.running) == (0, 1)


async def test_the_queue_is_bounded_and_the_less_critical_gives_way():
    asking = Asking(limit=3)
    asking.fill()
    least = await asking.wait("least", SHEDDABLE)
    waiting = [await asking.wait(name) for name in "xy"]
    assert await (await asking.wait("no more critical", SHEDDABLE)) is False
    more = await asking.wait("more", CRITICAL_PLUS)
    assert await least is False
    assert asking.gate.waiting == 3
    assert await (await asking.wait("one too many")) is False
    for _ in range(3):
        await asking.leave()
    assert asking.got == ["more", "x", "y"]
    assert [await task for task in (more, *waiting)] == [True] * 3


async def test_however_many_slots_there_are_few_wait():
    asking = Asking(limit=1000)
    asking.fill()
    tasks = [await asking.wait(str(number)) for number in range(MOST_WAITING)]
    assert await (await asking.wait("one too many")) is False
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert asking.gate.waiting == 0


async def test_a_caller_that_leaves_while_it_waits_leaves_nothing():
    asking = Asking()
    asking.fill()
    task = await asking.wait("x")
    task.cancel()
    await asyncio.wait([task])
    await asking.leave()
    assert (asking.gate.running, asking.gate.waiting, asking.got) == (0, 0, [])


async def test_a_slot_that_comes_as_its_caller_leaves_is_given_on():
    asking = Asking()
    asking.fill()
    gone, next_one = await asking.wait("gone"), None
    asking.limit = 2
    next_one = await asking.wait("next")
    asking.limit = 1
    asking.gate.leave()
    gone.cancel()
    await settled()
    assert asking.got == ["next"]
    assert await next_one
    assert asking.gate.running == 1


async def test_a_slot_is_never_given_to_a_caller_that_has_just_gone():
    asking = Asking(limit=2)
    asking.fill()
    gone = await asking.wait("gone")
    there = await asking.wait("there")
    gone.cancel()  # its task has yet to run when the slot comes
    await asking.leave()
    assert asking.got == ["there"]
    assert await there
    assert (asking.gate.running, asking.gate.waiting) == (2, 0)


async def test_a_caller_that_has_just_gone_is_no_room_for_another_but_harms_nobody():
    asking = Asking()
    asking.fill()
    gone = await asking.wait("gone", SHEDDABLE)
    gone.cancel()
    more = await asking.wait("more", CRITICAL)
    await asking.leave()
    assert asking.got == ["more"]
    assert await more


async def test_closing_ends_every_wait():
    asking = Asking()
    asking.fill()
    task = await asking.wait("x")
    asking.gate.close(lambda: Draining("It drains."))
    with pytest.raises(Draining):
        await task
    assert asking.gate.waiting == 0


class Model(RuleBasedStateMachine):
    """Any order of coming, going, waiting, leaving in the queue, and time."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.asking = Asking(limit=5)
        self.tasks = []
        self.entered = 0

    def run(self, work):
        return self.loop.run_until_complete(work)

    @rule(criticality=st.sampled_from(Criticality))
    def come(self, criticality):
        room = self.asking.limit if criticality >= CRITICAL else self.asking.limit - self.asking.limit // 5
        free = self.asking.gate.running < room
        assert self.asking.gate.enter(criticality) is free
        self.entered += free
        if not free:
            self.tasks.append(self.run(self.asking.wait("w", criticality)))

    @precondition(lambda self: self.asking.gate.running)
    @rule()
    def go(self):
        self.run(self.asking.leave())

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def give_up(self, data):
        task = data.draw(st.sampled_from(self.tasks))
        task.cancel()
        self.run(settled())

    @precondition(lambda self: self.tasks and self.asking.gate.running)
    @rule(data=st.data())
    def give_up_as_a_slot_comes(self, data):
        data.draw(st.sampled_from(self.tasks)).cancel()
        self.run(self.asking.leave())

    @rule(seconds=st.floats(0, 1))
    def pass_time(self, seconds):
        self.asking.clock.advance(seconds)

    @invariant()
    def counts_hold(self):
        gate = self.asking.gate
        assert 0 <= gate.running <= self.asking.limit
        assert gate.waiting == sum(len(queue) for queue in gate._queues.values()) <= self.asking.limit
        assert gate.waiting == sum(1 for task in self.tasks if not task.done())
        if gate.running < self.asking.limit:
            assert not gate._queues[CRITICAL]
            assert not gate._queues[CRITICAL_PLUS]

    def teardown(self):
        for task in self.tasks:
            task.cancel()
        self.run(settled())
        assert self.asking.gate.waiting == 0
        self.loop.close()


def test_the_gate_never_lets_too_many_in_nor_forgets_anybody():
    run_state_machine_as_test(Model)


@given(limit=st.integers(1, 2000))
def test_the_reserve_never_takes_everything(limit):
    asking = Asking(limit)
    assert asking.gate.enter(SHEDDABLE)
