"""What the tests of several workers share: a server of the kind echo, and how to look at its workers."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc

from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from tests.e2e.conftest import Running
from tests.e2e.test_process import LIST, asking, exit_status, rest_of, run, started, streaming, upstream  # noqa: F401
from tests.fakes.http import get
from tests.fakes.requests import chat_request

ALONE = [("grpc.use_local_subchannel_pool", 1)]
"""Else the channels of one process to one address share a connection."""


def echoing(workers: int = 2, **sections: Any) -> dict[str, Any]:
    return {
        "providers": [{"name": "echo", "kind": "echo"}],
        "models": [{"id": "assistant", "targets": [{"provider": "echo", "model": "echo"}]}],
        "http": {"listen": "127.0.0.1:0"},
        **sections,
        "grpc": {"workers": workers, **sections.get("grpc", {})},
    }


def logged(server: Running, event: str) -> list[dict[str, Any]]:
    whole, _, _ = server.stderr.read_text().rpartition("\n")
    lines = [json.loads(line) for line in whole.splitlines()]
    return [line for line in lines if line["event"] == event]


def pids(server: Running) -> list[int]:
    """The newest process of each worker."""
    return list({line["worker"]: line["worker_pid"] for line in logged(server, "worker_started")}.values())


async def counted(server: Running, line: str) -> float:
    """The value of a metric; 0 if it is not there."""
    assert server.http is not None
    metrics = (await get(server.http, "/metrics"))[1]
    found = re.search(rf"^{re.escape(line)} (\S+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else 0.0


@asynccontextmanager
async def connections(address: str, number: int) -> AsyncIterator[list[Any]]:
    """Stubs with a connection each."""
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, options=ALONE)) for _ in range(number)
        ]
        yield [LlmProxyServiceStub(channel) for channel in channels]


async def chats(stubs: list[Any]) -> None:
    await asyncio.gather(*(stub.Chat(chat_request(), timeout=20, wait_for_ready=True) for stub in stubs))


OK = 'llmproxy_calls_total{code="OK",method="Chat",model="assistant"}'
