"""How a server ends: in order, so that nobody's call fails, or at once."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from llmproxy_grpc.config.schema import GrpcConfig
from llmproxy_grpc.server.interceptors.admission import Admission
from llmproxy_grpc.server.readiness import Phase, Readiness
from llmproxy_grpc.server.server import LAST_WORDS, GrpcServer
from llmproxy_grpc.tasks import end, wait

log = structlog.get_logger(__name__)

AGE_JITTER: Final = 1.1
"""gRPC spreads the ages of connections by a tenth."""


class Drain:
    """Takes the wish to end, and does it.

    Args:
        readiness: The phase of the server.
        admission: The calls in flight.
        config: The configuration in force.
    """

    def __init__(self, readiness: Readiness, admission: Admission, config: Callable[[], GrpcConfig]) -> None:
        self._readiness = readiness
        self._admission = admission
        self._config = config
        self.wanted = asyncio.Event()
        """Set when the server is to end."""
        self._succeeded = False
        self._linger_over = asyncio.Event()
        self._predrain_over = asyncio.Event()
        self._now = asyncio.Event()

    def stop(self) -> None:
        """Asks for a drain; asked again, for an end."""
        if self._succeeded and not self._linger_over.is_set():
            self._linger_over.set()
        elif self.wanted.is_set():
            self._predrain_over.set()
            self._now.set()
        self.wanted.set()

    def interrupt(self) -> None:
        """Asks for a drain that begins at once: no load balancer has to notice."""
        self._predrain_over.set()
        self.stop()

    def leave(self) -> None:
        """Asks for an end that no caller notices, since a successor listens at the same addresses."""
        self._succeeded = True
        self._predrain_over.set()
        self.wanted.set()

    async def run(self, servers: Sequence[GrpcServer]) -> None:
        """Readiness goes first, so that load balancers look elsewhere; then the listener; then what still runs.

        Args:
            servers: All that is served, the main one first.
        """
        if self._succeeded:
            await self._linger(servers)
        config = self._config()
        log.info("draining", predrain=config.predrain, grace=config.grace)
        self._readiness.enter(Phase.DRAINING)
        await wait(self._predrain_over, config.predrain)
        self._readiness.enter(Phase.STOPPED)
        hurry = asyncio.create_task(self._end_when_hurried(servers))
        main, *beside = servers
        await main.stop(config.grace, evict=self._admission.evict)
        for server in beside:
            # To the end they tell that the process lives; what is open there is no call, and has had its time.
            await server.stop(LAST_WORDS, evict=self._admission.evict)
        await self._admission.empty()
        await end([hurry])
        log.info("stopped")

    async def _linger(self, servers: Sequence[GrpcServer]) -> None:
        """Serves the connections that there are until each has had its age, which callers take for what it is.

        gRPC refuses what arrives in the moment in which a server stops; of a connection that ends for its age it
        loses nothing.
        """
        age = self._config().max_connection_age
        log.info("leaving", connections_for=age)
        leaving = [asyncio.create_task(server.leave((age or 0.0) * AGE_JITTER)) for server in servers]
        over = asyncio.create_task(self._until_told())
        left = asyncio.create_task(_together(leaving))
        await asyncio.wait({left, over}, return_when=asyncio.FIRST_COMPLETED)
        self._linger_over.set()
        await end([*leaving, left, over])

    async def _until_told(self) -> None:
        await self._linger_over.wait()

    async def _end_when_hurried(self, servers: Sequence[GrpcServer]) -> None:
        """Ends every call with a rich error, and then what is not ours to end, such as a stream of reflection."""
        await self._now.wait()
        self._admission.evict()
        await asyncio.sleep(LAST_WORDS)
        for server in servers:
            await server.aclose()


async def _together(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks)
