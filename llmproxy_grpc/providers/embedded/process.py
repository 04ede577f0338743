"""The child process that runs the model: started on first need, again after its death, never outliving its owner."""

import asyncio
import os
import shutil
import time
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import structlog

from llmproxy_grpc.children import without_secrets
from llmproxy_grpc.errors import UpstreamUnreachable
from llmproxy_grpc.providers.embedded.backoff import Backoff
from llmproxy_grpc.providers.shortage import is_ours, shortage

READY = b"ready\n"
_TAIL = 2048


class ModelProcess:
    """One model server as a child process, listening on a UNIX socket in a folder that is ours alone.

    Its life hangs on its standard input: closing that ends it, and the system closes it when this process dies.

    Args:
        command: The program and its arguments; the socket's path is added at the end.
        folder: The private folder to make for the socket; it must not exist.
        start_timeout: Longest time for the program to come up, in seconds.
        grace: Longest time for it to end by itself, in seconds.
        clock: Gives monotonic seconds.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        start_timeout: float = 60.0,
        grace: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.socket_path = folder / "model.sock"
        self._command = (*command, str(self.socket_path))
        self._start_timeout = start_timeout
        self._grace = grace
        self._backoff = Backoff(clock)
        self._process: Process | None = None
        self._attending: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[bool] | None = None
        self._closed = False
        self._has_room = True
        """Whether the last start did not fail for want of something of the proxy's own, such as files."""
        self._log = structlog.get_logger(__name__)

    @property
    def pid(self) -> int | None:
        """The number of the process that serves now; None if none does."""
        return self._process.pid if self._process is not None else None

    def check(self) -> None:
        """Checks that a start would be allowed now, without starting anything.

        Raises:
            UpstreamUnreachable: It is closed, or has died too often of late.
        """
        if self._closed:
            raise UpstreamUnreachable("The embedded model is closed.")
        if wait := self._backoff.wait:
            raise UpstreamUnreachable("The embedded model keeps ending early.", retry_after=wait)

    async def ready(self) -> None:
        """Waits until the process serves; starts it if there is none. All who wait share one start.

        Raises:
            UpstreamUnreachable: It does not come up, died too often of late, or is closed.
            ProxyOverloaded: The proxy has no file or memory left for it.
        """
        if self._process is not None:
            return
        if self._starting is None:
            self.check()
            self._starting = asyncio.create_task(self._start())
        # Unlike awaiting the task, this leaves it to the others when one caller goes.
        done, _ = await asyncio.wait((self._starting,))
        if not any(not task.cancelled() and task.result() for task in done):
            if not self._has_room:
                raise shortage()
            raise UpstreamUnreachable("The embedded model did not start.", retry_after=self._backoff.wait)

    async def gone(self, *, within: float) -> bool:
        """Waits until no process serves, for so many seconds at most; says whether that is so."""
        if self._attending is not None:
            await asyncio.wait((self._attending,), timeout=within)
        return self._process is None

    async def aclose(self) -> None:
        """Ends the process, by force if it does not end by itself, and removes the folder."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait((self._starting,))
        if self._process is not None and self._attending is not None:
            await self._end(self._process, self._attending)
        shutil.rmtree(self.socket_path.parent, ignore_errors=True)

    async def _start(self) -> bool:
        self._backoff.started()
        self._has_room = True
        try:
            return await self._spawn()
        except OSError as error:
            self._log.warning("embedded_model_not_started", error=str(error))
            self._has_room = not is_ours(error)
            if self._has_room:
                self._backoff.ended()
            return False
        finally:
            self._starting = None

    async def _spawn(self) -> bool:
        self.socket_path.parent.mkdir(mode=0o700, exist_ok=True)
        self.socket_path.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=without_secrets(os.environ)
        )
        attending = self._attending = asyncio.create_task(self._attend(process))
        try:
            if await self._comes_up(process):
                self._process = process
        finally:
            if self._process is not process:
                await _kill(process, attending)
        return self._process is process

    async def _comes_up(self, process: Process) -> bool:
        try:
            async with asyncio.timeout(self._start_timeout):
                line = await cast(StreamReader, process.stdout).readline()
        except (TimeoutError, ValueError):  # too slow, or a line without end
            return False
        return line == READY and process.returncode is None

    async def _attend(self, process: Process) -> None:
        """Reads what the process complains of, so that it never blocks on a full pipe, and notes its end."""
        stderr = cast(StreamReader, process.stderr)
        tail = b""
        while chunk := await stderr.read(4096):
            tail = (tail + chunk)[-_TAIL:]
        status = await process.wait()
        if self._process is process:
            self._process = None
        self._backoff.ended()
        if not self._closed:
            self._log.warning("embedded_model_ended", status=status, complaint=tail.decode(errors="replace"))

    async def _end(self, process: Process, attending: asyncio.Task[None]) -> None:
        cast(StreamWriter, process.stdin).close()
        await asyncio.wait((attending,), timeout=self._grace)
        await _kill(process, attending)


async def _kill(process: Process, attending: asyncio.Task[None]) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await attending
