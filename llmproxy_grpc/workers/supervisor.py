"""The supervisor: serves with several worker processes as one server, and is the only one that the operator meets."""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TextIO

import structlog
from msgspec.structs import replace

from llmproxy_grpc.banner import Offer, banner
from llmproxy_grpc.config.faults import ConfigFault
from llmproxy_grpc.config.loader import Loaded
from llmproxy_grpc.config.manager import ConfigManager, Reload
from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.http.app import application
from llmproxy_grpc.http.listener import HttpListener
from llmproxy_grpc.systemd import Notifier
from llmproxy_grpc.tasks import end, log_failure
from llmproxy_grpc.workers.crew import Crew
from llmproxy_grpc.workers.process import Publish, WorkerProcess
from llmproxy_grpc.workers.protocol import Begin
from llmproxy_grpc.workers.restarts import Restarts

log = structlog.get_logger(__name__)


class Supervisor:
    """Holds the configuration, the addresses and the workers; it serves no call and never loads gRPC.

    It alone reads and watches the configuration's files, so that all workers, later ones too, have the same.

    Args:
        loaded: The configuration to start with.
        load: Reads it again.
        environ: The environment, which the workers inherit.
        output: Takes the addresses, the models and `ready`.
    """

    def __init__(
        self, loaded: Loaded, load: Callable[[], Loaded], *, environ: Mapping[str, str], output: TextIO
    ) -> None:
        self._manager = ConfigManager(loaded, load, self._report_reload)
        self._warnings = loaded.warnings
        self._environ = environ
        self._output = output
        self._notifier = Notifier(environ)
        self._stop = asyncio.Event()
        self._ready = False
        self._notice = True
        self._crew: Crew
        self._http: HttpListener | None = None
        self._reloading: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains all workers together; a second signal ends at once.

        Raises:
            OSError: An address cannot be had, or no worker can start.
            ConfigError: No worker can be built of the configuration.
        """
        async with AsyncExitStack() as stack:
            self._take_signals()
            config = self._manager.config
            self._crew = Crew(config, spawn=self._spawn, restarts=lambda: Restarts(time.monotonic, random.random))
            stack.push_async_callback(self._crew.aclose)
            stack.push_async_callback(self._close_http)
            address = await self._open_http(config)
            starting = asyncio.create_task(self._crew.start())
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not self._stop.is_set():  # else whoever ends us may have ended the workers as well
                self._announce(starting.result(), address)
                await self._watch_until_stopped()
            await self._drain(starting)

    def stop(self) -> None:
        """Asks for a drain; asked again, for an end."""
        if self._stop.is_set():
            self._crew.end()
        self._stop.set()

    def _interrupt(self) -> None:
        """Ctrl-C: no load balancer has to notice, so the drain begins at once."""
        self._notice = False
        self.stop()

    async def _spawn(self, begin: Begin, publish: Publish) -> WorkerProcess:
        return await WorkerProcess.spawn(begin, self._environ, publish)

    def _announce(self, offers: Sequence[Offer], http_address: str | None) -> None:
        for warning in self._warnings:
            log.warning("config", advice=str(warning))
        self._manager.subscribe(self._reload)
        self._ready = True
        self._output.write(banner(_whole(offers, http_address)))
        self._output.flush()
        self._notifier.ready()

    async def _watch_until_stopped(self) -> None:
        watching = [asyncio.create_task(self._manager.watch()), asyncio.create_task(self._notifier.watch())]
        for task in watching:
            task.add_done_callback(log_failure)
        await self._stop.wait()
        self._ready = False
        self._notifier.stopping()
        await end([*watching, *self._reloading])

    async def _drain(self, starting: asyncio.Task[list[Offer]]) -> None:
        log.info("draining", workers=len(self._crew.workers))
        self._crew.drain(notice=self._notice)
        await self._crew.gone()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        log.info("stopped")

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal)

    def _on_reload_signal(self) -> None:
        if not self._ready:
            log.info("reload_ignored")
            return
        task = asyncio.create_task(self._reload_now())
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _reload_now(self) -> None:
        with self._notifier.reloading():
            await self._manager.reload()

    async def _reload(self, old: Config, new: Config) -> None:
        before = self._http
        if old.http != new.http:
            self._http = None
            try:
                await self._open_http(new)
                await self._crew.reload(old, new)
            except BaseException:
                await self._close_http()
                self._http = before
                raise
            if before is not None:
                await before.aclose()
        else:
            await self._crew.reload(old, new)

    def _report_reload(self, result: Reload, faults: Sequence[ConfigFault]) -> None:
        self._crew.totals.reloaded(result.value)
        write = log.error if result is Reload.REJECTED else log.info
        write("config_reload", result=result.value, faults=[str(fault) for fault in faults])

    async def _open_http(self, config: Config) -> str | None:
        if config.http.listen is None:
            return None
        self._http = HttpListener(
            application(render_metrics=self._crew.totals.render, ready=lambda: self._ready and self._crew.ready)
        )
        return await self._http.start(config.http.listen)

    async def _close_http(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None


def _whole(offers: Sequence[Offer], http_address: str | None) -> Offer:
    """What all workers offer together."""
    addresses = tuple(dict.fromkeys(address for offer in offers for address in offer.grpc))
    return replace(offers[0], grpc=addresses, http=http_address)
