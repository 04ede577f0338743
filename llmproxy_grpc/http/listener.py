"""Opens and closes the HTTP listener, and tells the address that was really bound."""

from aiohttp import web


class HttpListener:
    """An aiohttp application on one TCP address or unix socket."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def start(self, listen: str) -> str:
        """Binds `HOST:PORT` or `unix:PATH`; returns the address with the real port.

        Raises:
            OSError: The address cannot be bound.
        """
        await self._runner.setup()
        if listen.startswith("unix:"):
            await web.UnixSite(self._runner, listen.removeprefix("unix:")).start()
            return listen
        host, _, port = listen.rpartition(":")
        await web.TCPSite(self._runner, host.strip("[]"), int(port), reuse_address=True).start()
        bound = self._runner.addresses[0]
        return f"{host}:{bound[1]}"

    async def aclose(self) -> None:
        """Stops listening and closes what is open."""
        await self._runner.cleanup()
