"""A second attempt beside a stream that is slow to begin: the first to say something serves, the other is closed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from typing import Final

from msgspec.structs import replace

from llmproxy_grpc.calls import Call
from llmproxy_grpc.config.schema import HedgingConfig
from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import ChatRequest, ProviderResponse, StreamEvent
from llmproxy_grpc.routing.attempt import Trying
from llmproxy_grpc.routing.circuit import Line
from llmproxy_grpc.routing.tries import Tries, Turn
from llmproxy_grpc.routing.window import Window

SHORTEST_DELAY: Final = 0.5
FEWEST_SAMPLES: Final = 20
"""First outputs that must have been seen of a target to tell what is slow for it."""
SLOW_SHARE: Final = 0.95
MEMORY: Final = 60
"""Seconds over which hedges are a share of the streams."""

Batch = Sequence[StreamEvent]
Attempting = Callable[[Call, Turn[ChatRequest]], AbstractContextManager[Trying[ChatRequest, ProviderResponse]]]
"""One attempt as a context."""
Opening = Callable[[Trying[ChatRequest, ProviderResponse], Turn[ChatRequest]], AsyncGenerator[Batch, None]]
"""The batches of an attempt."""


class Hedging:
    """Says which streams get a second attempt.

    Args:
        config: How many may.
        clock: Monotonic seconds.
    """

    def __init__(self, config: HedgingConfig, clock: Callable[[], float]) -> None:
        self._ratio = config.max_ratio
        self._clock = clock
        self._streams = Window(MEMORY)
        self._hedges = Window(MEMORY)

    def delay(self, line: Line) -> float | None:
        """Counts an attempt; gives the seconds after which it is slow to begin, None if no one knows."""
        self._streams.add(1.0, self._clock())
        samples = sorted(line.first_outputs)
        if len(samples) < FEWEST_SAMPLES:
            return None
        return max(SHORTEST_DELAY, samples[int(SLOW_SHARE * len(samples))])

    def beside(self, tries: Tries[ChatRequest]) -> Turn[ChatRequest] | None:
        """The attempt to make beside the one that is slow; None if there is none, or there have been too many."""
        now = self._clock()
        if self._hedges.total(now) + 1.0 > self._ratio * self._streams.total(now):
            return None
        turn = tries.beside()
        if turn is not None:
            self._hedges.add(1.0, now)
        return turn


class Runner:
    """One attempt of a race, and its first batch while that is awaited. It has a copy of the call until it wins.

    Making it raises what the attempt fails with before it begins: a ProxyError if its provider takes no more calls.
    """

    def __init__(self, call: Call, turn: Turn[ChatRequest], attempting: Attempting, opening: Opening) -> None:
        self.turn = turn
        self._call = call
        self._copy = replace(call, attempts=[], warnings=[], upstream_seconds=0.0)
        self._context = attempting(self._copy, turn)
        try:
            self._trying = self._context.__enter__()
        except BaseException:
            self._hand_over()
            raise
        self._batches = opening(self._trying, turn)
        self.first = asyncio.create_task(_next(self._batches))

    def error(self) -> BaseException | None:
        """How waiting for the first batch ended, once it has."""
        return asyncio.CancelledError() if self.first.cancelled() else self.first.exception()

    def fail(self, error: BaseException) -> None:
        """Ends the attempt, which has failed."""
        self._context.__exit__(type(error), error, error.__traceback__)
        self._hand_over()

    async def lose(self, *, beaten: bool) -> None:
        """Ends the attempt because another was faster, or else because nobody waits any more.

        If it failed by itself at that very moment, that is how it ended.
        """
        self._trying.beaten = beaten
        self._copy.ended_by = self._call.ended_by
        self.first.cancel()
        await asyncio.wait((self.first,))
        await self._batches.aclose()
        self.fail(self.error() or asyncio.CancelledError())

    @asynccontextmanager
    async def win(self) -> AsyncIterator[AsyncGenerator[Batch, None]]:
        """Goes on as the attempt of the call itself: gives the first batch and all behind it."""
        self._trying.adopt(self._call)
        try:
            async with aclosing(self._all()) as batches:
                yield batches
        except BaseException as error:
            self._context.__exit__(type(error), error, error.__traceback__)
            raise
        self._context.__exit__(None, None, None)

    def _hand_over(self) -> None:
        """Tells the call of the attempt, which its copy alone knows of."""
        self._call.attempts.extend(self._copy.attempts)

    async def _all(self) -> AsyncGenerator[Batch, None]:
        async with aclosing(self._batches) as batches:
            first = self.first.result()
            if first is not None:
                yield first
            async for batch in batches:
                yield batch


class Race:
    """Two attempts of one call, of which the second begins if the first is slow.

    Args:
        call: The call.
        tries: Knows whom to try; its current attempt is the first.
        hedging: Says whether there may be a second.
        attempting: Makes an attempt's context.
        opening: Makes its batches.
    """

    def __init__(
        self,
        call: Call,
        tries: Tries[ChatRequest],
        hedging: Hedging,
        *,
        attempting: Attempting,
        opening: Opening,
    ) -> None:
        self._call = call
        self._tries = tries
        self._hedging = hedging
        self._attempting = attempting
        self._opening = opening

    @asynccontextmanager
    async def winner(self, turn: Turn[ChatRequest], delay: float) -> AsyncIterator[AsyncGenerator[Batch, None]]:
        """Gives the batches of the attempt that is the first to say something.

        Args:
            turn: The first attempt.
            delay: Seconds before the second.

        Raises:
            ProxyError: All have failed: the error of the last, whose turn is now the current one of `tries`.
        """
        running = [self._runner(turn)]
        try:
            winner = await self._first(running, delay)
            running.remove(winner)
            running.append(winner)  # the last to be closed, if closing the others is cut short
            while running[0] is not winner:
                await running[0].lose(beaten=True)
                del running[0]
            running.clear()
            async with winner.win() as batches:
                yield batches
        finally:
            for runner in running:
                await runner.lose(beaten=False)

    async def _first(self, running: list[Runner], delay: float | None) -> Runner:
        """Waits for a first batch; takes those that fail before out of the list."""
        while True:
            waiting = [runner.first for runner in running]
            done, _ = await asyncio.wait(waiting, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                delay = None
                self._hedge(running)
                continue
            runner = next(runner for runner in running if runner.first in done)
            error = runner.error()
            if error is None:
                return runner
            running.remove(runner)
            runner.fail(error)
            if not running or not isinstance(error, ProxyError) or not error.failover:
                raise error
            self._tries.lost(runner.turn, error, left=running[0].turn)

    def _hedge(self, running: list[Runner]) -> None:
        """Begins the second attempt, if there may be one; if it cannot begin, the first goes on alone."""
        turn = self._hedging.beside(self._tries)
        if turn is None:
            return
        try:
            running.append(self._runner(turn))
        except ProxyError as error:
            self._tries.lost(turn, error, left=running[0].turn)

    def _runner(self, turn: Turn[ChatRequest]) -> Runner:
        return Runner(self._call, turn, self._attempting, self._opening)


async def _next(batches: AsyncGenerator[Batch, None]) -> Batch | None:
    return await anext(batches, None)
