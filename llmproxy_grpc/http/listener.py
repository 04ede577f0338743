"""Opens and closes the HTTP listener, and tells the address that was really bound."""

import logging
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from llmproxy_grpc.config.addresses import UNIX
from llmproxy_grpc.exceptions import anonymous
from llmproxy_grpc.sockets import SocketPath, cannot_listen

log = structlog.get_logger(__name__)

KEY: Final = "http.listen"
"""Of its address, in the configuration."""


class _OurLog(logging.Handler):
    """Has aiohttp's complaints written as our own log lines: what a peer sends amiss is no news, what we do is."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line for a request that failed by our fault; none for one that is no HTTP."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, HttpProcessingError):
            log.error("http_request_failed", **anonymous(error))


_logger: Final = logging.getLogger("llmproxy.http")
_logger.propagate = False
_logger.addHandler(_OurLog())


class HttpListener:
    """An aiohttp application on one TCP address or unix socket."""

    def __init__(self, app: web.Application) -> None:
        self._socket: SocketPath | None = None
        self._runner = web.AppRunner(app, access_log=None, logger=_logger, handle_signals=False)

    async def start(self, listen: str) -> str:
        """Binds `HOST:PORT` or `unix:PATH`; returns the address with the real port.

        Raises:
            OSError: The address cannot be bound.
        """
        await self._runner.setup()
        if listen.startswith(UNIX):
            path = listen.removeprefix(UNIX)
            self._socket = SocketPath(Path(path), key=KEY)
            try:
                await web.UnixSite(self._runner, path).start()
            except OSError as error:
                raise cannot_listen(KEY, listen) from error
            self._socket.bound()
            return listen
        host, _, port = listen.rpartition(":")
        try:
            await web.TCPSite(self._runner, host.strip("[]"), int(port), reuse_address=True).start()
        except OSError as error:
            raise cannot_listen(KEY, listen) from error
        bound = self._runner.addresses[0]
        return f"{host}:{bound[1]}"

    async def aclose(self) -> None:
        """Stops listening and closes what is open."""
        await self._runner.cleanup()
        if self._socket is not None:
            self._socket.release()
