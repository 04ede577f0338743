"""The aiohttp side: /metrics for Prometheus, /livez and /readyz for probes."""

from collections.abc import Callable

from aiohttp import web


def application(*, render_metrics: Callable[[], bytes], ready: Callable[[], bool]) -> web.Application:
    """The routes of the HTTP listener.

    Args:
        render_metrics: Gives all metrics in Prometheus' text format.
        ready: Whether new calls should come here.
    """

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=render_metrics(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(text="ready\n") if ready() else web.Response(status=503, text="not ready\n")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    return app
