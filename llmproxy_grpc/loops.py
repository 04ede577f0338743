"""Runs a process's event loop: uvloop where it is to be had, since it takes a large part off the CPU of a call."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


def run(serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs `serve` to its end on a new event loop."""
    try:
        import uvloop  # noqa: PLC0415 - it is optional
    except ImportError:
        asyncio.run(serve())
        return
    uvloop.run(serve())
