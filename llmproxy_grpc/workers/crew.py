"""The workers of a supervisor: started, held up, replaced one after the other, and sent home together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from llmproxy_grpc.banner import Offer
from llmproxy_grpc.config.schema import Config
from llmproxy_grpc.workers.places import places_of
from llmproxy_grpc.workers.ports import Addresses
from llmproxy_grpc.workers.process import Publish, WorkerProcess
from llmproxy_grpc.workers.protocol import Begin, Shared, seal
from llmproxy_grpc.workers.restarts import Restarts
from llmproxy_grpc.workers.shared import Retained
from llmproxy_grpc.workers.totals import Totals

log = structlog.get_logger(__name__)

LAST_PATIENCE: Final = 10.0
"""Seconds beyond predrain and grace that a worker has to close what it holds."""

Spawn = Callable[[Begin, Publish], Awaitable[WorkerProcess]]


class Crew:
    """As many workers as the configuration says, each with a number of its own.

    Args:
        config: The configuration to start with.
        spawn: Starts a worker.
        restarts: Makes what times the restarts of one number.
    """

    def __init__(self, config: Config, *, spawn: Spawn, restarts: Callable[[], Restarts]) -> None:
        self._config = config
        self._spawn = spawn
        self._restarts = restarts
        self._addresses = _addresses(config)
        self._retained = Retained()
        self._alive: set[WorkerProcess] = set()
        self.totals = Totals(lambda: self._alive)
        """What all have counted."""
        self._workers: dict[int, WorkerProcess] = {}
        self._keepers: dict[int, asyncio.Task[None]] = {}
        self._leaving: dict[WorkerProcess, asyncio.Task[None]] = {}
        # Held by whoever starts workers or tells them a configuration, so that none starts with one that is passing.
        self._changing = asyncio.Lock()

    @property
    def workers(self) -> Sequence[WorkerProcess]:
        """Those that are there now, by number."""
        return [self._workers[number] for number in sorted(self._workers)]

    @property
    def ready(self) -> bool:
        """Whether any of them takes new calls."""
        return any(worker.ready for worker in self._workers.values())

    async def start(self) -> list[Offer]:
        """Starts all; returns what each offers once every one serves.

        Raises:
            ConfigError: None can be built of the configuration.
            OSError: None can start.
        """
        numbers = range(self._config.grpc.workers)
        outcomes = await asyncio.gather(*map(self._first, numbers), return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if len(failures) == len(outcomes):
            raise failures[0]
        for number in numbers:
            self._hold(number)
        return [await self._serving(number) for number in numbers]

    async def reload(self, old: Config, new: Config) -> None:
        """Puts a configuration into force, one worker after the other; if one cannot take it, back to the old one.

        Raises:
            ConfigError: It cannot be used.
            OSError: An address cannot be had.
        """
        async with self._changing:
            if _at_start(old) == _at_start(new):
                await self._tell(old, new)
            else:
                await self._replace_all(old, new)

    def drain(self, *, notice: bool) -> None:
        """Has all end together; with `notice` load balancers get the time to look elsewhere first."""
        for keeper in self._keepers.values():
            keeper.cancel()
        for worker in self._leaving:
            worker.drain(notice=False)
        for worker in self._workers.values():
            worker.drain(notice=notice)
            self._see_off(worker)

    def end(self) -> None:
        """Has all end at once."""
        for keeper in self._keepers.values():
            keeper.cancel()
        for worker in (*self._workers.values(), *self._leaving):
            worker.end()

    async def gone(self) -> None:
        """Waits until all have ended that were told to."""
        while self._leaving:
            await asyncio.wait(self._leaving.values())

    async def aclose(self) -> None:
        """Ends by force what is still there, and lets go of the addresses."""
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
        for worker in tuple(self._alive):
            worker.kill("the server ends")
            await asyncio.wait({worker.ended})
        self._addresses.close()

    async def _first(self, number: int) -> Offer:
        worker = self._workers[number] = await self._launch(number)
        return await worker.serving

    async def _serving(self, number: int) -> Offer:
        """What the worker of this number offers, be it at the first start or at a later one."""
        while True:
            worker = self._workers.get(number)
            if worker is None:
                await asyncio.sleep(0.05)
                continue
            try:
                return await asyncio.shield(worker.serving)
            except (ValueError, OSError):
                await asyncio.wait({worker.ended})

    def _hold(self, number: int) -> None:
        self._keepers[number] = asyncio.create_task(self._keep(number))

    async def _keep(self, number: int) -> None:
        """Starts another worker whenever the one of this number ends unasked; gives up never."""
        restarts = self._restarts()
        while True:
            if (worker := self._workers.get(number)) is not None:
                await asyncio.wait({worker.ended})
                if self._workers.get(number) is not worker:
                    continue  # another has taken its place
                del self._workers[number]
                _mourn(worker)
            await asyncio.sleep(restarts.delay())
            if restarts.alarming:
                log.critical("worker_keeps_dying", worker=number)
            async with self._changing:
                await self._restart(number)

    async def _restart(self, number: int) -> None:
        """Starts a worker, unless a reload has put one there meanwhile."""
        if number in self._workers:
            return
        try:
            self._workers[number] = await self._launch(number)
            self.totals.restarted()
        except OSError as error:
            log.error("worker_not_started", worker=number, why=str(error))

    async def _launch(self, number: int) -> WorkerProcess:
        begin = Begin(
            number,
            places=self._addresses.of(number),
            config=seal(self._config),
            shared=self._retained.all(),
        )
        worker = await self._spawn(begin, self._pass_on)
        self._alive.add(worker)
        worker.ended.add_done_callback(lambda _: self._bury(worker))
        log.info("worker_started", worker=number, worker_pid=worker.pid)
        return worker

    def _bury(self, worker: WorkerProcess) -> None:
        self._alive.remove(worker)
        self.totals.bury(worker)

    def _pass_on(self, entry: Shared, sender: WorkerProcess) -> None:
        self._retained.keep(entry)
        for worker in self._workers.values():
            if worker is not sender:
                worker.send(entry)

    async def _tell(self, old: Config, new: Config) -> None:
        self._config = new
        told: list[WorkerProcess] = []
        try:
            for worker in self.workers:
                told.append(worker)
                await worker.reload(seal(new))
        except ValueError:
            self._config = old
            for worker in told[:-1]:
                await worker.reload(seal(old))
            raise

    async def _replace_all(self, old: Config, new: Config) -> None:
        """Starts each worker's successor, and sends the worker home when that serves."""
        addresses_before, replaced = self._addresses, []
        self._addresses = _addresses(new, before=addresses_before)
        self._config = new
        try:
            for number in range(new.grpc.workers):
                replaced.append(number)
                await self._replace(number)
        except (ValueError, OSError):
            refused, self._addresses, self._config = self._addresses, addresses_before, old
            await self._go_back(replaced[:-1])
            refused.close(but=addresses_before)
            raise
        self._send_home(range(new.grpc.workers, old.grpc.workers))
        addresses_before.close(but=self._addresses)

    async def _replace(self, number: int) -> None:
        before, successor = self._workers.get(number), await self._launch(number)
        try:
            await successor.serving
        except (ValueError, OSError):
            await asyncio.wait({successor.ended})
            raise
        self._workers[number] = successor
        if before is not None:
            self._let_go(before)
        if number not in self._keepers:
            self._hold(number)

    async def _go_back(self, numbers: Sequence[int]) -> None:
        known = range(self._config.grpc.workers)
        self._send_home([number for number in numbers if number not in known])
        for number in numbers:
            if number in known:
                await self._replace(number)

    def _send_home(self, numbers: Iterable[int]) -> None:
        """Has workers end that have no successor."""
        for number in numbers:
            self._keepers.pop(number).cancel()
            if (worker := self._workers.pop(number, None)) is not None:
                self._let_go(worker)

    def _let_go(self, worker: WorkerProcess) -> None:
        worker.leave()
        self._see_off(worker)

    def _see_off(self, worker: WorkerProcess) -> None:
        """Waits beside everything else until a worker has ended that was told to."""
        task = self._leaving[worker] = asyncio.create_task(self._until_gone(worker))
        task.add_done_callback(lambda _: self._leaving.pop(worker))

    async def _until_gone(self, worker: WorkerProcess) -> None:
        grpc = self._config.grpc
        patience = 2 * (grpc.max_connection_age or 0) + grpc.predrain + grpc.grace + LAST_PATIENCE
        done, _ = await asyncio.wait({worker.ended}, timeout=patience)
        if not done:
            worker.kill("does not end")
            await asyncio.wait({worker.ended})
        log.info("worker_stopped", worker=worker.number, worker_pid=worker.pid, status=worker.ended.result())


def _addresses(config: Config, before: Addresses | None = None) -> Addresses:
    return Addresses([places_of(config, number) for number in range(config.grpc.workers)], before)


def _at_start(config: Config) -> Mapping[str, object]:
    """What a worker reads once, at its start; the supervisor serves HTTP for all."""
    return {name: section for name, section in config.read_at_start().items() if name != "http"}


def _mourn(worker: WorkerProcess) -> None:
    why = worker.serving.exception() if worker.serving.done() else None
    log.error(
        "worker_died",
        worker=worker.number,
        worker_pid=worker.pid,
        status=worker.ended.result(),
        why=None if why is None else str(why),
    )
