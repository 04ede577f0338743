"""Holds the configuration in force, and replaces it when its sources change and the new one can be built."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

import structlog
from watchfiles import awatch

from llmproxy_grpc.config.faults import ConfigError, ConfigFault
from llmproxy_grpc.config.loader import Loaded
from llmproxy_grpc.config.schema import Config

log = structlog.get_logger(__name__)

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds until sources that could not be read are read again, first and in the end; each pause is twice the last."""

Subscriber = Callable[[Config, Config], Awaitable[None]]
Signature = tuple[tuple[str, int, int, int] | None, ...]


class Reload(StrEnum):
    """How a reload ended: the label of its metric."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"


Report = Callable[[Reload, Sequence[ConfigFault]], None]


class ConfigManager:
    """The snapshot of the configuration, and those who want to know of a new one.

    Args:
        loaded: The configuration to start with.
        load: Reads the sources again; raises ConfigError. Runs in a thread.
        report: Told of every reload: how it ended, and the faults or, if it was applied, the warnings. For the log and
            the counter; must not raise.
    """

    def __init__(self, loaded: Loaded, load: Callable[[], Loaded], report: Report) -> None:
        self._loaded = loaded
        self._load = load
        self._report = report
        self._subscribers: list[Subscriber] = []
        self._lock = asyncio.Lock()
        self._unread: Sequence[ConfigFault] = ()
        """Why the sources could not be read last; empty if they could."""
        self._again_after = FIRST_PAUSE
        self._again_at = 0.0
        self._seen = _signature(self._files())

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._loaded.config

    def subscribe(self, subscriber: Subscriber) -> None:
        """Has `subscriber(old, new)` awaited for every new configuration, in the order of subscribing.

        A subscriber that raises cannot build from the new configuration: the old one stays in force, and those told
        before are told to go back.
        """
        self._subscribers.append(subscriber)

    async def reload(self) -> Reload:
        """Reads the sources again and puts them into force; one reload at a time. Bad ones change nothing."""
        async with self._lock:
            return await self._reload()

    async def watch(self, *, poll: float = 5.0) -> None:
        """Reloads whenever the file, or one that it names, changes, until cancelled; returns at once if there is none.

        Sources that could not be read are read again from time to time, until they can be. Folders are watched rather
        than files: editors, and Kubernetes' mounted volumes, replace a file or a link.

        Args:
            poll: Seconds between two looks at file systems that report no changes.
        """
        stop = asyncio.Event()
        follower = asyncio.create_task(self._follow(stop, poll))
        try:
            await asyncio.shield(follower)
        finally:
            # watchfiles waits in a thread that cancelling cannot reach, but looks at this event all the time.
            stop.set()
            await follower

    async def _follow(self, stop: asyncio.Event, poll: float) -> None:
        while not stop.is_set() and (files := self._files()):
            async with aclosing(_changes(files, stop, poll)) as changes:
                async for _ in changes:
                    if (found := _signature(files)) != self._seen:
                        self._seen = found
                        await self.reload()
                    else:
                        await self._read_again()
                    if self._files() != files:
                        self._seen = _signature(self._files())
                        break

    async def _read_again(self) -> None:
        """Reads sources that could not be read, when it is time: why they could not may have passed without a trace.

        A secret that the file names anew and that comes later is in no folder that is watched, and rights to read a
        file may come back without a change of it.
        """
        if self._unread and asyncio.get_running_loop().time() >= self._again_at:
            async with self._lock:
                await self._reload(known=self._unread)

    async def _reload(self, known: Sequence[ConfigFault] = ()) -> Reload:
        """One reload; faults that are known are not reported again."""
        try:
            loaded = await asyncio.to_thread(self._load)
        except Exception as error:  # noqa: BLE001 - a kind from outside may raise anything; the watch must go on
            self._unread = _faults(error)
            self._again_after = min(2 * self._again_after, LONGEST_PAUSE) if known else FIRST_PAUSE
            self._again_at = asyncio.get_running_loop().time() + self._again_after
            if self._unread != known:
                self._report(Reload.REJECTED, self._unread)
            return Reload.REJECTED
        self._unread = ()
        return await self._put_into_force(loaded)

    async def _put_into_force(self, loaded: Loaded) -> Reload:
        result = Reload.UNCHANGED if loaded.config == self._loaded.config else Reload.APPLIED
        try:
            if result is Reload.APPLIED:
                await self._tell(self._loaded.config, loaded.config)
        except Exception as error:  # noqa: BLE001 - as above
            self._report(Reload.REJECTED, _faults(error))
            return Reload.REJECTED
        self._loaded = loaded
        self._report(result, loaded.warnings if result is Reload.APPLIED else ())
        return result

    def _files(self) -> tuple[Path, ...]:
        own = () if self._loaded.file is None else (self._loaded.file,)
        return (*own, *self._loaded.further_files)

    async def _tell(self, old: Config, new: Config) -> None:
        told: list[Subscriber] = []
        try:
            for subscriber in self._subscribers:
                await subscriber(old, new)
                told.append(subscriber)
        except Exception:
            for subscriber in reversed(told):
                await subscriber(new, old)
            raise


async def _changes(files: tuple[Path, ...], stop: asyncio.Event, poll: float) -> AsyncGenerator[None, None]:
    """Ticks once at the start, since something may have changed meanwhile, then at changes and every `poll` seconds."""
    yield
    try:
        async with aclosing(_reported(files, stop, poll)) as reported:
            async for _ in reported:
                yield
    except (OSError, RuntimeError) as error:  # watchfiles' own is a RuntimeError: the system has no watch left, say
        log.warning("config_polled", seconds=poll, why=str(error))
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(poll):
                await stop.wait()
        yield


async def _reported(files: tuple[Path, ...], stop: asyncio.Event, poll: float) -> AsyncGenerator[None, None]:
    """Ticks as `_changes` does behind the start, as long as the system reports changes."""
    folders = {folder for file in files for folder in (file.parent, file.resolve().parent) if folder.is_dir()}
    watched = awatch(
        *folders,
        watch_filter=None,
        debounce=200,
        step=250,  # milliseconds between two looks for changes; the default keeps a thread awake
        stop_event=stop,
        rust_timeout=int(poll * 1000),
        yield_on_timeout=True,
        recursive=False,
    )
    async with aclosing(watched):
        async for _ in watched:
            yield


def _signature(files: tuple[Path, ...]) -> Signature:
    """Tells one state of the files from another; None stands for one that cannot be seen now."""
    return tuple(_state(file) for file in files)


def _state(file: Path) -> tuple[str, int, int, int] | None:
    try:
        status = file.stat()
        return str(file.resolve()), status.st_ino, status.st_size, status.st_mtime_ns
    except OSError:
        return None


def _faults(error: Exception) -> tuple[ConfigFault, ...]:
    if isinstance(error, ConfigError):
        return error.faults
    # The text of another exception may hold anything, a secret too.
    text = str(error) if isinstance(error, ValueError | OSError) else f"cannot be used: {type(error).__qualname__}"
    return (ConfigFault("configuration", None, "", None, text),)
