"""Long computations beside the event loop."""

import asyncio
import threading
import time

import pytest

from llmproxy_grpc.aside import MANY, aside, aside_if_long
from llmproxy_grpc.messages import ChatRequest, Message, Role, TextPart

HI = TextPart(text="Hi")


def thread_of(_conversation=None):
    return threading.current_thread()


def conversation(*parts_of_messages):
    return ChatRequest("m", tuple(Message(Role.USER, (HI,) * parts) for parts in parts_of_messages))


@pytest.mark.parametrize(
    ("parts", "long"),
    [((), False), ((1,) * (MANY - 1), False), ((1,) * MANY, True), ((MANY - 1,), False), ((1, MANY - 1), True)],
)
async def test_a_long_conversation_is_worked_on_in_another_thread(parts, long):
    thread = await aside_if_long(thread_of, conversation(*parts))
    assert (thread is not threading.current_thread()) is long


async def test_the_loop_goes_on_meanwhile():
    done = threading.Event()

    def compute():
        until = time.monotonic() + 30
        while not done.is_set() and time.monotonic() < until:
            pass
        return done.is_set()

    computing = asyncio.create_task(aside(compute))
    for _ in range(5):
        await asyncio.sleep(0.001)
    done.set()
    assert await computing


async def test_what_it_raises_arrives():
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await aside(fail)


async def test_one_computes_at_a_time_and_who_leaves_holds_nobody_up():
    running, most = 0, 0
    go = threading.Event()

    def compute():
        nonlocal running, most
        running += 1
        most = max(most, running)
        go.wait(30)
        running -= 1

    calls = [asyncio.create_task(aside(compute)) for _ in range(3)]
    await asyncio.sleep(0.01)
    calls[0].cancel()
    calls[2].cancel()
    go.set()
    await asyncio.gather(*calls, return_exceptions=True)
    assert [call.cancelled() for call in calls] == [True, False, True]
    assert (running, most) == (0, 1)
