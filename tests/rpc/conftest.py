"""The real server in the test's own event loop, with scripted providers behind it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest

from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from llmproxy_grpc.app import App
from llmproxy_grpc.config.loader import Loaded, load
from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.providers import registry
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Provider
from tests.fakes.busy import LIMIT, SLACK, Busy, no_waiting
from tests.fakes.scripted_provider import ScriptedProvider

MAY_TAKE_LONG = {
    "test_a_call_whose_deadline_has_passed_reaches_no_provider": "it sleeps on purpose",
    "test_thousands_of_unsupported_fields_make_one_small_status_in_no_time": "20,000 parts, the most that are allowed",
}
"""Tests in which a callback may take longer than the promise, and why."""


@pytest.fixture(autouse=True)
def busy(request: pytest.FixtureRequest) -> Iterator[Busy]:
    """Fails a test in which the server kept the event loop busy, or waited for anybody but through it."""
    watch, allowed = Busy(), request.node.originalname in MAY_TAKE_LONG
    with watch.watching(), nullcontext() if allowed else no_waiting():
        yield watch
    if not allowed:
        assert watch.longest < LIMIT * SLACK, watch.name


@dataclass
class Serving:
    """A running server and a channel to it."""

    app: App
    address: str
    http: str
    channel: grpc.aio.Channel
    stub: Any
    providers: Mapping[str, Provider]
    config_file: Path
    output: io.StringIO
    stopped: "asyncio.Task[None]"
    chunks: list[str] = field(default_factory=list)

    @property
    def scripted(self) -> ScriptedProvider:
        provider = self.providers["scripted"]
        assert isinstance(provider, ScriptedProvider)
        return provider

    def forget(self) -> None:
        """Forgets every failure: rests, benches, open circuits and what retries have cost."""
        runtime = self.app._runtime
        runtime.circuits._lines.clear()
        runtime.circuits._credentials.clear()
        runtime.router._retries._budgets.clear()


Serve = Callable[..., AbstractAsyncContextManager[Serving]]

USUAL: dict[str, Any] = {
    "grpc": {"listen": "127.0.0.1:0", "predrain": 0, "grace": 5},
    "http": {"listen": "127.0.0.1:0"},
    "records": {"enabled": False},
    "providers": [{"name": "scripted", "kind": "scripted"}],
    "models": [{"id": "assistant", "targets": [{"provider": "scripted", "model": "m"}]}],
}

PATIENT: dict[str, Any] = {"consecutive_failures": 1_000_000, "minimum_calls": 1_000_000}


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """`async with serve(config, providers={...}) as server`; keys of `config` replace those of the usual one.

    Providers of the kind `scripted` are those given, of any other kind they are the real ones. `environ` is where
    discovery looks for keys. Where every model has one target it is tried once, unless `retries` says how often: most
    tests script one failure. Circuits do not open, unless `breaker` says when: some tests fail on purpose all the time.
    """
    numbers = count(1)

    @asynccontextmanager
    async def serving(
        config: Mapping[str, Any] | None = None,
        *,
        providers: Mapping[str, Provider] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Serving]:
        scripted = dict(providers) if providers is not None else {"scripted": ScriptedProvider()}
        file = tmp_path / f"llmproxy-{next(numbers)}.yaml"
        wanted = {**USUAL, **(config or {})}
        if all(len(model["targets"]) == 1 for model in wanted["models"]):
            wanted.setdefault("retries", {"max_attempts": 1})
        wanted.setdefault("breaker", PATIENT)
        if providers is not None and "providers" not in (config or {}):
            wanted["providers"] = [{"name": name, "kind": "scripted"} for name in scripted]
        file.write_text(json.dumps(wanted))

        def read() -> Loaded:
            return load(file, [], {}, tmp_path)

        def build(provider: ProviderConfig, http: HttpClient) -> Provider:
            return scripted[provider.name] if provider.kind == "scripted" else registry.build(provider, http)

        output = io.StringIO()
        app = App(read(), read, environ=environ or {}, output=output, build=build)
        running = asyncio.create_task(app.run())
        while "ready\n" not in output.getvalue():
            if running.done():
                running.result()
            await asyncio.sleep(0.005)
        told = dict(line.split(" ", 1) for line in output.getvalue().splitlines() if " " in line)
        channel = grpc.aio.insecure_channel(told["grpc"])
        stub = LlmProxyServiceStub(channel)
        try:
            yield Serving(app, told["grpc"], told["http"], channel, stub, scripted, file, output, running)
        finally:
            await channel.close()
            app.stop()
            app.stop()
            await running

    return serving


def asking(*base_urls: str, **sections: Any) -> dict[str, Any]:
    """A configuration whose model `assistant` asks these addresses in turn, as providers a, b, … of the kind openai."""
    names = "abcdef"[: len(base_urls)]
    key = {"kind": "openai", "api_key": "test-key"}
    return {
        "providers": [{"name": name, **key, "base_url": url} for name, url in zip(names, base_urls, strict=True)],
        "models": [{"id": "assistant", "targets": [{"provider": name, "model": "m"} for name in names]}],
        **sections,
    }
