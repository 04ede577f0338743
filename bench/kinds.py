"""`python -m bench.kinds`: what each kind of provider costs beside `openai`, and prints a Markdown table.

Each kind's provider runs alone in this process against a stand-in in another one that answers as its vendor would, with
the fakes of the tests; what is measured is the CPU time of this process.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing

import uvloop
from msgspec import Struct

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import ChatRequest, FunctionTool, Message, Role, TextPart
from llmproxy_grpc.providers import registry
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Provider
from tests.providers.http_kind import HttpKind
from tests.providers.kinds import HTTP_KINDS

BASELINE = "openai"
RELAY = "grpc"
"""The kind that speaks our own API, and has no HTTP."""
NAMES = (*(kind.name for kind in HTTP_KINDS), RELAY)
TOKENS = 400
"""Deltas of one stream."""
AT_A_TIME = 8
SCHEMA = json.dumps({"type": "object", "properties": {f"field_{n}": {"type": "string"} for n in range(60)}})


class Load(Struct, frozen=True):
    """What is asked: how often, and whether the answer is streamed, all at once or frame by frame."""

    title: str
    calls: int
    stream: str = ""
    tools: bool = False

    @property
    def pieces(self) -> int:
        """What the time is divided by: the calls, or the tokens of all streams."""
        return self.calls * TOKENS if self.stream else self.calls


LOADS = (
    Load("Chat, a call", 400),
    Load("Chat with 60 tools, a call", 200, tools=True),
    Load("Stream, a token of a burst", 40, stream="burst"),
    Load("Stream, a token by itself", 12, stream="paced"),
)


def request_of(load: Load) -> ChatRequest:
    """The conversation to answer; its text says to the stand-in how."""
    tools = tuple(FunctionTool(f"tool_{n}", "does something", SCHEMA) for n in range(60)) if load.tools else ()
    text = f"{load.stream or 'chat'} please"
    return ChatRequest("m", (Message(Role.USER, (TextPart(text=text),)),), tools=tools)


async def run(load: Load, provider: Provider, model: str) -> float:
    """CPU seconds of one piece."""
    request = request_of(load)
    before = time.process_time()
    gate = asyncio.Semaphore(AT_A_TIME)

    async def call() -> None:
        async with gate:
            adapted = provider.adapt(request, model).request
            if not load.stream:
                await provider.chat(adapted, model)
                return
            async with aclosing(provider.stream(adapted, model)) as batches:
                async for _ in batches:
                    pass

    async with asyncio.TaskGroup() as group:
        for _ in range(load.calls):
            group.create_task(call())
    return (time.process_time() - before) / load.pieces


async def measure(ports: Mapping[str, int], rounds: int) -> list[tuple[str, dict[str, list[float]]]]:
    """The seconds of each load and kind, round by round, the kinds one after the other within each round."""
    http = HttpClient(connect_timeout=3)
    providers = {kind.name: (build(kind, ports[kind.name], http), kind.model) for kind in HTTP_KINDS}
    relay = ProviderConfig(name="bench", kind=RELAY, base_url=f"http://127.0.0.1:{ports[RELAY]}")
    providers[RELAY] = (registry.build(relay, http), "m")
    results = []
    for load in LOADS:
        seconds: dict[str, list[float]] = {name: [] for name in providers}
        for turn in range(rounds + 1):
            for name, (provider, model) in providers.items():
                spent = await run(load, provider, model)
                if turn:  # the first round warms up
                    seconds[name].append(spent)
        results.append((load.title, seconds))
    for provider, _ in providers.values():
        await provider.aclose()
    await http.aclose()
    return results


def build(kind: HttpKind, port: int, http: HttpClient) -> Provider:
    """A provider that asks the stand-in."""
    fields = {"base_url": f"http://127.0.0.1:{port}{kind.base_path}", **kind.config}
    return registry.build(ProviderConfig(name="bench", kind=kind.kind, **fields), http)


def table(results: Sequence[tuple[str, dict[str, list[float]]]]) -> str:
    """Medians of the ratios to the baseline in the same round; the baseline's own time in microseconds."""
    lines = [f"| | {' | '.join(f'`{name}`' for name in NAMES)} |", f"|---|{'---|' * len(NAMES)}"]
    for title, seconds in results:
        base = seconds[BASELINE]
        cells = [
            f"{statistics.median(base) * 1e6:.1f} µs"
            if name == BASELINE
            else f"{statistics.median(one / other for one, other in zip(seconds[name], base, strict=True)):.2f}"
            for name in NAMES
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.kinds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count")
    options = parser.parse_args()
    command = [sys.executable, "-m", "bench.kinds_stand_in"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stand_in:
        if stand_in.stdout is None or stand_in.stdin is None:
            return 1
        ports = json.loads(stand_in.stdout.readline())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            print(table(runner.run(measure(ports, options.rounds))))
        stand_in.stdin.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
