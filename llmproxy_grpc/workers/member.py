"""A worker's own side: who it is, its heartbeat, and what its supervisor has it do."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from llmproxy_grpc.banner import Offer
from llmproxy_grpc.config.faults import ConfigFault
from llmproxy_grpc.config.loader import Loaded
from llmproxy_grpc.config.manager import Reload
from llmproxy_grpc.telemetry.cells import Cells
from llmproxy_grpc.telemetry.families import Families
from llmproxy_grpc.workers.link import Link
from llmproxy_grpc.workers.protocol import (
    BEAT,
    Beat,
    Begin,
    Counted,
    Drain,
    End,
    FromWorker,
    Leave,
    Message,
    NewConfig,
    Reloaded,
    Serving,
    Shared,
    unseal,
)
from llmproxy_grpc.workers.shared import SharedTable


class Ending(Protocol):
    """The ways to have a server end."""

    def stop(self) -> None:
        """Asks for a drain; asked again, for an end."""

    def interrupt(self) -> None:
        """Asks for a drain that begins at once."""

    def leave(self) -> None:
        """Asks for an end that no caller notices, since a successor listens at the same addresses."""


class Controls(Protocol):
    """What a supervisor may do with the server in a worker."""

    @property
    def ready(self) -> bool:
        """Whether new calls should come here."""

    @property
    def drain(self) -> Ending:
        """Takes the wish to end."""

    def reload(self) -> Awaitable[None]:
        """Reads the configuration again."""


class Member:
    """One of several workers.

    Args:
        link: To the supervisor.
        begin: Its first word.
        cells: Where it counts, for the supervisor to read.
    """

    def __init__(self, link: Link, begin: Begin, cells: Cells) -> None:
        self.number = begin.number
        self.places = begin.places
        self.families = Families(cells, lambda series: self._send(Counted(series)))
        """The metrics of this worker, as the supervisor adds them to those of the others."""
        self.shared = SharedTable(self._send)
        """What all workers know."""
        self._config = unseal(begin.config)
        self._link = link
        self._stopping = False
        self._reloading: asyncio.Future[None] | None = None
        for entry in begin.shared:
            self.shared.receive(entry)

    def load(self) -> Loaded:
        """The configuration as the supervisor has given it."""
        return Loaded(self._config)

    def announce(self, offer: Offer) -> None:
        """Tells the supervisor that this worker serves."""
        self._link.send(Serving(offer))

    def reloaded(self, result: Reload, faults: Sequence[ConfigFault]) -> None:
        """Tells the supervisor how a reload went."""
        self._link.send(Reloaded(tuple(faults) if result is Reload.REJECTED else ()))

    async def follow(self, server: Controls) -> None:
        """Does what the supervisor says, and beats, until cancelled; drains when the supervisor is gone."""
        beating = asyncio.create_task(self._beat(server))
        try:
            while (message := await self._link.receive()) is not None:
                self._obey(message, server)
            self.terminate(server)
            await asyncio.Event().wait()
        finally:
            beating.cancel()

    def terminate(self, server: Controls) -> None:
        """A signal to this very process: a drain, and no more than that however often it comes.

        A service manager may send one to every process of the service beside what the supervisor says.
        """
        self._end(server.drain.stop)

    def _end(self, how: Callable[[], None]) -> None:
        if not self._stopping:
            self._stopping = True
            how()

    def _obey(self, message: Message, server: Controls) -> None:
        match message:
            case Drain(notice):
                self._end(server.drain.stop if notice else server.drain.interrupt)
            case Leave():
                server.drain.leave()
            case End():
                for _ in range(3):  # lingering, draining, at once
                    server.drain.stop()
            case NewConfig(config):
                self._config = unseal(config)
                self._reloading = asyncio.ensure_future(server.reload())
            case Shared():
                self.shared.receive(message)

    async def _beat(self, server: Controls) -> None:
        while True:
            self._link.send(Beat(server.ready))
            await asyncio.sleep(BEAT)

    def _send(self, message: FromWorker) -> None:
        self._link.send(message)
