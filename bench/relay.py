"""`python -m bench.relay`: what a call costs the whole proxy by the kind `grpc` beside `openai`, tokens at their pace.

The proxy is a process of its own on a core of its own, whose CPU time counts; the stand-ins for both upstreams, and the
caller, are this process. `bench.kinds` measures the providers alone, with streams as fast as they come.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import grpc
import uvloop
from msgspec import Struct

from bench.kinds import BASELINE, RELAY
from bench.kinds_stand_in import RelayStandIn
from bench.processes import Server, cores, running
from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2
from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from tests.fakes.faulty_upstream import Answer, FaultyUpstream, Request
from tests.providers.kinds import HTTP_KINDS

TOKENS: Final = 200
GAP: Final = 0.005
"""Seconds between two tokens of a stream."""
KIND: Final = next(kind for kind in HTTP_KINDS if kind.name == BASELINE)


class Load(Struct, frozen=True):
    """What is asked, how often and how many at a time; what the time is divided by."""

    title: str
    calls: int
    at_a_time: int
    pieces: int
    stream: bool = False


LOADS: Final = (
    Load("Chat, a call", 2000, 8, 2000),
    Load("Stream, a token at its pace", 24, 24, 24 * TOKENS, stream=True),
)


class PacedRelay(RelayStandIn):
    """The same with time between the tokens."""

    async def _stream(self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:  # noqa: ARG002
        await context.write(self._start)
        for _ in range(TOKENS):
            await asyncio.sleep(GAP)
            await context.write(self._token)
        for message in self._end:
            await context.write(message)


def respond(request: Request) -> Answer:
    """Answers as a vendor with time between the tokens."""
    if not request.body:
        return Answer.json(b'{"data":[]}')
    if not KIND.streamed(request):
        return Answer.json(KIND.answer("A short answer."))
    frames = KIND.stream([" token"] * TOKENS, ("5", "7"))
    return KIND.streaming([step for frame in frames for step in (frame, GAP)])


def config(http_port: int, grpc_port: int) -> dict[str, object]:
    """A proxy with one model behind each kind, called like the kind."""
    addresses = {BASELINE: f"http://127.0.0.1:{http_port}/v1", RELAY: f"http://127.0.0.1:{grpc_port}"}
    return {
        "grpc": {"listen": "127.0.0.1:0", "predrain": 0, "grace": 1},
        "http": {"listen": None},
        "records": {"enabled": False},
        "telemetry": {"log_level": "error"},
        "providers": [{"name": kind, "kind": kind, "base_url": url} for kind, url in addresses.items()],
        "models": [{"id": kind, "targets": [{"provider": kind, "model": "m"}]} for kind in addresses],
    }


async def ask(stub: LlmProxyServiceStub, model: str, load: Load) -> None:
    """Makes the calls."""
    said = content_pb2.Message(role="ROLE_USER", parts=[content_pb2.ContentPart(text="Hello?")])
    chat = chat_pb2.ChatRequest(model=model, messages=[said])
    gate = asyncio.Semaphore(load.at_a_time)

    async def call() -> None:
        async with gate:
            if not load.stream:
                await stub.Chat(chat)
                return
            async for _ in stub.Stream(chat_pb2.StreamRequest(chat=chat)):
                pass

    await asyncio.gather(*(call() for _ in range(load.calls)))


async def measure(server: Server, rounds: int) -> list[str]:
    """The rows of the table: medians of the costs in microseconds, and of the ratios within a round."""
    rows = []
    async with grpc.aio.insecure_channel(server.addresses["grpc"]) as channel:
        stub = LlmProxyServiceStub(channel)
        for each in LOADS:
            spent: dict[str, list[float]] = {BASELINE: [], RELAY: []}
            for turn in range(rounds + 1):
                for model, costs in spent.items():
                    before = server.cpu_seconds()
                    await ask(stub, model, each)
                    if turn:  # the first round warms up
                        costs.append((server.cpu_seconds() - before) / each.pieces)
            ratios = [one / other for one, other in zip(spent[RELAY], spent[BASELINE], strict=True)]
            micros = (f"{statistics.median(spent[model]) * 1e6:.0f} µs" for model in (BASELINE, RELAY))
            rows.append(f"| {each.title} | {' | '.join(micros)} | {statistics.median(ratios):.2f} |")
    return rows


async def run(rounds: int) -> None:
    """Starts everything, measures, and prints."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vendor = await stack.enter_async_context(FaultyUpstream())
        vendor.handler = respond
        relay = grpc.aio.server()
        relay.add_generic_rpc_handlers((PacedRelay(),))
        port = relay.add_insecure_port("127.0.0.1:0")
        await relay.start()
        stack.push_async_callback(relay.stop, None)
        file = folder / "llmproxy.yaml"
        file.write_text(json.dumps(config(vendor.port, port)))
        command = [sys.executable, "-m", "llmproxy_grpc", "serve", "-c", str(file)]
        # In a thread: the server looks for its models while it starts, in this process.
        server = running(command, core=cores()[0], log=folder / "log")
        started = await asyncio.to_thread(server.__enter__)
        stack.push_async_callback(asyncio.to_thread, server.__exit__, None, None, None)
        print(f"| | `{BASELINE}` | `{RELAY}` | ratio |\n|---|---|---|---|")
        print("\n".join(await measure(started, rounds)))


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    uvloop.run(run(parser.parse_args().rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
