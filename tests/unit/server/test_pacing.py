import asyncio

import pytest

from llmproxy_grpc._gen.v1 import chat_pb2
from llmproxy_grpc.messages import TextDelta
from llmproxy_grpc.server.pacing import LONGEST_HOLD, Pacing, with_heartbeats


def options(milliseconds=None):
    found = chat_pb2.StreamOptions()
    if milliseconds is not None:
        found.coalesce.FromMilliseconds(milliseconds)
    return found


@pytest.mark.parametrize(("streams", "hold"), [(0, 0.0), (100, 0.0), (150, 0.005), (10_000, LONGEST_HOLD)])
def test_text_is_held_by_load_when_nothing_is_asked(streams, hold):
    assert Pacing(options(), lambda: streams).hold() == pytest.approx(hold)


def test_what_the_caller_asks_wins_over_load():
    assert Pacing(options(0), lambda: 10_000).hold() == 0.0
    assert Pacing(options(250), lambda: 0).hold() == 0.25


async def test_batches_pass_in_order_and_the_source_is_closed():
    closed = []

    async def source():
        try:
            for text in "abc":
                yield [TextDelta(text=text)]
        finally:
            closed.append(True)

    texts = [batch[0].text async for batch in with_heartbeats(source(), 5.0) if batch]
    assert texts == ["a", "b", "c"]
    assert closed == [True]


async def test_closing_early_cancels_the_wait():
    cancelled = asyncio.Event()

    async def source():
        try:
            await asyncio.Event().wait()
            yield []
        finally:
            cancelled.set()

    beating = with_heartbeats(source(), 0.01)
    assert await anext(beating) is None
    await beating.aclose()
    assert cancelled.is_set()


async def test_an_error_of_the_source_passes_through():
    async def source():
        yield [TextDelta(text="a")]
        raise ValueError("broken")

    beating = with_heartbeats(source(), 5.0)
    assert await anext(beating)
    with pytest.raises(ValueError, match="broken"):
        await anext(beating)
