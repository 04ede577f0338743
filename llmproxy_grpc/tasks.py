"""Tasks that nobody awaits: logged when they fail, ended with their owner."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog

from llmproxy_grpc.exceptions import anonymous

log = structlog.get_logger(__name__)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Waits for an event, so many seconds at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def log_failure(task: asyncio.Task[Any]) -> None:
    """Logs why a task of ours ended that nobody awaits."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("bug", **anonymous(error))


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels tasks and waits for them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
