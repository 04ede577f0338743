"""Gives every call a deadline: the caller's or the default, always capped, and kept a little early."""

import asyncio
from collections.abc import Callable
from typing import Final

from llmproxy_grpc.config.schema import TimeoutsConfig
from llmproxy_grpc.errors import DeadlineExceeded
from llmproxy_grpc.server.rpc import Proceed, Rpc

MARGIN: Final = 0.150
"""Seconds kept back from the caller's deadline, so that a rich error leaves before the caller's own timer fires."""
LARGEST_SHARE: Final = 0.1
"""The most that is kept back, as a share of what is left."""


class Deadline:
    """The interceptor that ends a call in time; what is left of the deadline is all that a provider gets."""

    def __init__(self, timeouts: Callable[[], TimeoutsConfig]) -> None:
        self._timeouts = timeouts

    async def __call__(self, rpc: Rpc, proceed: Proceed) -> None:
        """Sets and keeps the deadline of one call."""
        timeouts = self._timeouts()
        cap = timeouts.stream if rpc.method.streaming else timeouts.unary
        remaining: float | None = rpc.context.time_remaining()  # None without a deadline, whatever its type says
        allowed = cap if remaining is None else min(cap, remaining - min(MARGIN, remaining * LARGEST_SHARE))
        rpc.call.deadline_at = rpc.call.started_at + allowed
        if allowed <= 0:
            raise DeadlineExceeded("The deadline had passed when the call arrived.")
        try:
            async with asyncio.timeout_at(rpc.call.deadline_at) as limit:
                await proceed(rpc)
        except TimeoutError:
            if not limit.expired():
                raise
            whose = "that the proxy allows" if allowed == cap else "that the caller's deadline left"
            raise DeadlineExceeded(f"The call did not end within the {allowed:.3g} s {whose}.") from None
