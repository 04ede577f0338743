import asyncio

import pytest

from llmproxy_grpc.routing.patience import Patience

SHORT = 0.05


async def wait(patience: Patience, awaitable, seconds: float) -> str:
    patience.begin(asyncio.get_running_loop().time() + seconds)
    try:
        await awaitable
    except asyncio.CancelledError:
        if not patience.ran_out():
            raise
        return "ran out"
    finally:
        patience.end()
    return "done"


async def test_a_wait_that_lasts_too_long_is_cancelled():
    patience = Patience()
    assert await wait(patience, asyncio.Event().wait(), SHORT) == "ran out"
    assert asyncio.current_task().cancelling() == 0


async def test_it_may_run_out_again():
    patience = Patience()
    for _ in range(3):
        assert await wait(patience, asyncio.Event().wait(), SHORT) == "ran out"


async def test_a_wait_in_time_is_left_alone_and_so_is_what_follows():
    patience = Patience()
    assert await wait(patience, asyncio.sleep(0), SHORT) == "done"
    await asyncio.sleep(2 * SHORT)
    assert await wait(patience, asyncio.sleep(0), 5.0) == "done"


async def test_a_later_wait_with_a_shorter_limit_has_its_own():
    patience = Patience()
    assert await wait(patience, asyncio.sleep(0), 60.0) == "done"
    async with asyncio.timeout(5):
        assert await wait(patience, asyncio.Event().wait(), SHORT) == "ran out"


async def test_a_later_wait_with_a_longer_limit_has_its_own():
    patience = Patience()
    assert await wait(patience, asyncio.sleep(0), SHORT) == "done"
    assert await wait(patience, asyncio.sleep(2 * SHORT), 5.0) == "done"


async def test_somebody_elses_cancellation_stays_one():
    patience = Patience()
    task = asyncio.create_task(wait(patience, asyncio.Event().wait(), 60.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    patience.close()


async def test_a_cancellation_beside_the_limit_wins():
    patience = Patience()
    task = asyncio.create_task(wait(patience, asyncio.Event().wait(), 60.0))
    await asyncio.sleep(0)
    patience._limit_at = 0.0
    patience._look()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
