"""One worker as its supervisor sees it: a process, the link to it, its heartbeat and its end."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Final, Self

import structlog

from llmproxy_grpc.banner import Offer
from llmproxy_grpc.children import finding_us
from llmproxy_grpc.config.faults import ConfigError
from llmproxy_grpc.telemetry.cells import Cells
from llmproxy_grpc.telemetry.families import Found, Series
from llmproxy_grpc.workers.link import Link
from llmproxy_grpc.workers.protocol import (
    BEAT,
    Beat,
    Begin,
    Counted,
    Drain,
    End,
    Failed,
    FromSupervisor,
    Leave,
    Message,
    NewConfig,
    Reloaded,
    Serving,
    Shared,
)

log = structlog.get_logger(__name__)

MOST_MISSED: Final = 5
"""Beats that may fail to come in a row."""
FIRST_BEAT: Final = 30.0
"""Seconds that a worker has for its imports, before its event loop runs."""

NOT_INHERITED: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

Publish = Callable[[Shared, "WorkerProcess"], None]


class WorkerProcess:
    """A worker's process, spawned rather than forked: gRPC's threads do not survive a fork.

    A fresh interpreter of our own, by `subprocess` rather than `multiprocessing`: nothing of the supervisor is pickled
    but the configuration, and there is no third process to track resources.
    """

    def __init__(self, process: Process, link: Link, cells: Cells, begin: Begin, publish: Publish) -> None:
        loop = asyncio.get_running_loop()
        self.number = begin.number
        self.pid = process.pid
        self.serving: asyncio.Future[Offer] = loop.create_future()
        """What the worker offers, once it serves; or why it could not start."""
        self.serving.add_done_callback(lambda future: future.cancelled() or future.exception())
        self.ready = False
        """Whether new calls should come to it."""
        self.dismissed = False
        """Whether it was told to end."""
        self._cells = cells
        self._series: list[Series] = []
        self._process = process
        self._link = link
        self._publish = publish
        self._missed = 0
        self._beaten = False
        self._reloaded: asyncio.Future[Reloaded] = loop.create_future()
        self.ended = loop.create_task(self._run())
        """Its exit status, once it is gone."""
        self.send(begin)

    @classmethod
    async def spawn(cls, begin: Begin, environ: Mapping[str, str], publish: Publish) -> Self:
        """Starts a worker and tells it who it is.

        Raises:
            OSError: No process can be started.
        """
        ours, theirs = socket.socketpair()
        cells, memory = Cells.shared()
        with theirs, ExitStack() as inherited:
            inherited.callback(os.close, memory)
            command = [sys.executable, "-P", "-m", "llmproxy_grpc.worker", str(theirs.fileno()), str(memory)]
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),  # standard output is the supervisor's
                env=_environment(environ),
                pass_fds=(theirs.fileno(), memory),
                start_new_session=True,  # Ctrl-C is for the supervisor to hear
            )
        ours.setblocking(False)  # noqa: FBT003 - the standard library's
        return cls(process, await Link.open(ours), cells, begin, publish)

    def send(self, message: FromSupervisor) -> None:
        """Tells the worker something; one that does not read is killed."""
        if not self._link.send(message):
            self.kill("does not read")

    def drain(self, *, notice: bool) -> None:
        """Has it end; with `notice` load balancers get the time to look elsewhere first."""
        self.dismissed = True
        self.ready = False
        self.send(Drain(notice))

    def leave(self) -> None:
        """Has it end such that no caller notices, since it has a successor."""
        self.dismissed = True
        self.ready = False
        self.send(Leave())

    def end(self) -> None:
        """Has it end at once."""
        self.dismissed = True
        self.ready = False
        self.send(End())

    def kill(self, why: str) -> None:
        """Ends it by force."""
        if self._process.returncode is None:
            log.error("worker_killed", worker=self.number, worker_pid=self.pid, why=why)
            self._process.kill()

    def found(self) -> Found:
        """What it has counted so far, also when it is dead."""
        for series in self._series:
            end = series.begin + series.family.length
            if series.begin >= 0:
                yield series.family, series.values, self._cells.numbers[series.begin : end]

    async def reload(self, config: bytes) -> None:
        """Puts another configuration into force.

        Raises:
            ConfigError: It cannot be used.
        """
        answer = self._reloaded = asyncio.get_running_loop().create_future()
        self.send(NewConfig(config))
        await asyncio.wait({answer, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        # One that is gone meanwhile comes back with the new configuration.
        if answer.done() and answer.result().faults:
            raise ConfigError(answer.result().faults)

    async def _run(self) -> int:
        """Hears it and counts its beats until it is gone; the last words of a dead worker are heard as well."""
        watch = asyncio.create_task(self._watch())
        try:
            while (message := await self._link.receive()) is not None:
                self._take(message)
            status = await self._process.wait()
        finally:
            watch.cancel()
            self.ready = False
            await self._link.aclose()
        if not self.serving.done():
            self.serving.set_exception(OSError(f"worker {self.number} ended with status {status} before it served"))
        return status

    def _take(self, message: Message) -> None:
        match message:
            case Counted(series):
                self._series.append(series)
            case Beat(ready):
                self._missed, self._beaten = 0, True
                self.ready = ready and not self.dismissed
            case Serving(offer):
                self.ready = not self.dismissed
                self._settle(offer)
            case Failed(faults, text):
                self._settle(ConfigError(faults) if faults else OSError(text))
            case Reloaded() if not self._reloaded.done():
                self._reloaded.set_result(message)
            case Shared():
                self._publish(message, self)

    def _settle(self, outcome: Offer | Exception) -> None:
        if self.serving.done():
            return
        if isinstance(outcome, Exception):
            self.serving.set_exception(outcome)
        else:
            self.serving.set_result(outcome)

    async def _watch(self) -> None:
        """Counts missed beats. Ticks of our own that come late count once, so that our own pause kills nobody."""
        most = FIRST_BEAT / BEAT
        while self._missed <= most:
            await asyncio.sleep(BEAT)
            self._missed += 1
            most = MOST_MISSED if self._beaten else FIRST_BEAT / BEAT
        self.kill("misses its beats")


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what is for the supervisor alone."""
    return finding_us({name: value for name, value in environ.items() if name not in NOT_INHERITED})
