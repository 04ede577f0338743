"""A whole proxy of our own, with the kind `echo` in it, is what the kind `grpc` speaks with."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from llmproxy_grpc.app import App
from llmproxy_grpc.config.loader import Loaded, load
from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers.grpc_upstream import GrpcProvider
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Provider
from tests.fakes.polling import until
from tests.providers.specimen import Specimen

ECHO = {
    "grpc": {"listen": "127.0.0.1:0", "predrain": 0},
    "http": {"listen": None},
    "records": {"enabled": False},
    "providers": [{"name": "echo", "kind": "echo"}],
}


@asynccontextmanager
async def _open() -> AsyncIterator[Provider]:
    http = HttpClient(connect_timeout=1)
    async with _proxy() as address, aclosing(http):
        config = ProviderConfig(name="specimen", kind="grpc", base_url=f"http://{address}")
        async with aclosing(GrpcProvider.from_config(config, http)) as provider:
            yield provider


@asynccontextmanager
async def _proxy() -> AsyncIterator[str]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "llmproxy.yaml"
        file.write_text(json.dumps(ECHO))
        output = StringIO()

        def read() -> Loaded:
            return load(file, [], {}, Path(folder))

        app = App(read(), read, environ={}, output=output)
        running = asyncio.create_task(app.run())
        await until(lambda: running.done() or "ready\n" in output.getvalue())
        yield next(line.split(" ")[1] for line in output.getvalue().splitlines() if line.startswith("grpc "))
        app.stop()
        app.stop()
        await running


# Which fields a target cannot honour the proxy behind it alone knows, and says so with its answer.
KIND = Specimen("grpc", "grpc", "echo/echo", _open, names_unsupported=False)
