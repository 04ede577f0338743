"""An answer may take any time: how long is the caller's business, not that of a library's default of five minutes."""

import asyncio
from collections.abc import Callable

import pytest

from tests.fakes.faulty_upstream import Answer, Do
from tests.unit.providers.http.exchange import HEADERS, ask

WEEK = 7 * 86_400.0


@pytest.fixture
async def leap(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets a week go by on the event loop's clock: every timer that was set before is due at once."""
    loop = asyncio.get_running_loop()
    really, late = loop.time, 0.0

    def forward() -> None:
        nonlocal late
        late += WEEK

    monkeypatch.setattr(loop, "time", lambda: really() + late)
    return forward


async def due(count: int = 5) -> None:
    """Lets the loop run what is due."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_timer_that_was_set_before_is_due(leap):
    called = asyncio.Event()
    asyncio.get_running_loop().call_later(300, called.set)
    leap()
    await due()
    assert called.is_set()


async def test_a_stream_may_pause_for_a_week(client, upstream, leap):
    upstream.script(Answer.stream([b"one", Do.STALL, b"two"]))
    async with client.request("POST", upstream.url, headers=HEADERS, body=b"{}") as response:
        assert await response.chunk() == b"one"
        more = asyncio.ensure_future(response.chunk())
        await due()
        leap()
        await due()
        upstream.release()
        assert await more == b"two"
        assert await response.chunk() == b""


async def test_an_answer_may_begin_after_a_week(client, upstream, leap):
    upstream.script(Answer(body=[b"late"], before_head=[Do.STALL]))
    answer = asyncio.ensure_future(ask(client, upstream.url))
    while not upstream.requests:
        await asyncio.sleep(0.001)
    await due()
    leap()
    await due()
    upstream.release()
    assert await answer == b"late"
