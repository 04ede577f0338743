"""Waits for what nobody announces: the one place where a test sleeps and looks again."""

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from itertools import repeat
from typing import Any

PAUSE = 0.002


async def until(condition: Callable[[], Any], *, within: float = 15.0) -> None:
    """Looks until the condition, which may be a coroutine function, gives something true.

    Raises:
        TimeoutError: It did not, for `within` seconds.
    """
    async with asyncio.timeout(within):
        for pause in repeat(PAUSE):
            found = condition()
            if await found if isawaitable(found) else found:
                return
            await asyncio.sleep(pause)
