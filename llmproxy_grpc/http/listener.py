"""Opens and closes the HTTP listener, and tells the address that was really bound."""

from pathlib import Path

from aiohttp import web

from llmproxy_grpc.config.addresses import UNIX
from llmproxy_grpc.sockets import SocketPath


class HttpListener:
    """An aiohttp application on one TCP address or unix socket."""

    def __init__(self, app: web.Application) -> None:
        self._socket: SocketPath | None = None
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def start(self, listen: str) -> str:
        """Binds `HOST:PORT` or `unix:PATH`; returns the address with the real port.

        Raises:
            OSError: The address cannot be bound.
        """
        await self._runner.setup()
        if listen.startswith(UNIX):
            path = listen.removeprefix(UNIX)
            self._socket = SocketPath(Path(path))
            await web.UnixSite(self._runner, path).start()
            self._socket.bound()
            return listen
        host, _, port = listen.rpartition(":")
        try:
            await web.TCPSite(self._runner, host.strip("[]"), int(port), reuse_address=True).start()
        except OSError as error:
            raise OSError(f"cannot listen on {listen}: is it in use, or not allowed?") from error
        bound = self._runner.addresses[0]
        return f"{host}:{bound[1]}"

    async def aclose(self) -> None:
        """Stops listening and closes what is open."""
        await self._runner.cleanup()
        if self._socket is not None:
            self._socket.release()
