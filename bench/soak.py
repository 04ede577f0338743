"""`python -m bench.soak`: calls the proxy for minutes, a fifth of them cancelled, while its providers fail at random.

The proxy is a process of its own with two providers, which answer well, slowly, wrongly or not to the end. Looked for:
calls that hang, errors that should not be, and memory, sockets and tasks that grow. Exits 1 if one is found.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import grpc
import msgspec
from llmproxy_client.errors import error_detail

from bench.processes import Server, cores, raise_file_limit, running
from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2
from llmproxy_grpc._gen.v1.llm_proxy_service_pb2_grpc import LlmProxyServiceStub
from tests.fakes.faulty_upstream import Answer, Do, FaultyUpstream, Request, openai_answer, openai_stream

CANCELLED: Final = 0.25
"""Share of the calls that their caller leaves, if they have not ended by then: a fifth are left while they run."""
LEAVES: Final = 0.04
"""Seconds after which a caller leaves at the latest."""
FAULTY: Final = 0.1
"""Share of the providers' answers that are bad."""
LIMITED: Final = 0.002
"""Share of them by which a provider asks for rest, as limited or as overloaded: more, and it would do nothing else."""
DEADLINE: Final = 10.0
TOLD_TO_WAIT: Final = 0.5
"""Seconds that a caller waits that was refused."""
PATIENCE: Final = 1.0
"""Seconds behind the deadline after which a call counts as hung."""
SETTLE: Final = 5.0
"""Seconds that everything has to return in when the load is over."""
WARM: Final = 0.25
"""Share of the time that the memory has to find its size."""
MOST_GROWTH: Final = 10.0
"""MiB that the memory may grow behind that."""
LEAST_OK: Final = 0.5
LEAST_LEFT: Final = 0.15
"""Shares of the calls that must be answered, and left by their callers: else it is no load that says anything."""
MOST_LEFT: Final = 5
"""File descriptors, and tasks, that may be left over."""
EXPECTED: Final = frozenset({"OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED", "DEADLINE_EXCEEDED"})
"""The codes that calls may end with; the deadline is that of a Chat whose last provider says nothing."""

REFUSED: Final = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})


class Look(msgspec.Struct, frozen=True):
    """What is seen of the proxy from outside: seconds since the start, MiB, and counts."""

    at: float
    memory: float
    files: int
    tasks: int
    in_flight: int


class Provider:
    """Answers by chance: most often well."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def answer(self, request: Request) -> Answer:
        """How to answer one request."""
        body = request.json() if request.body else {}
        if request.method == "GET":
            return Answer.json(b'{"object":"list","data":[]}')
        if self._chance.random() < LIMITED:
            status = self._chance.choice((429, 503))
            return Answer.json(b'{"error":{"message":"overloaded"}}', status=status, headers={"retry-after": "1"})
        if self._chance.random() < FAULTY:
            return self._fault(streaming=bool(body.get("stream")))
        words = [f"word{number} " for number in range(self._chance.randint(1, 40))]
        if not body.get("stream"):
            return Answer(body=[openai_answer("".join(words))], before_head=[self._chance.random() * 0.05])
        pieces = [piece for each in openai_stream(words) for piece in (each, self._chance.random() * 0.01)]
        return Answer.stream(pieces)

    def _fault(self, *, streaming: bool) -> Answer:
        events = openai_stream(["one ", "two ", "three "])
        faults = [
            Answer.json(b'{"error":{"message":"broken"}}', status=500),
            Answer(raw=[b"\x00\xff garbage\r\n\r\n", Do.EOF]),
            Answer(headers={"content-type": "text/html"}, body=[b"<html>an error of a proxy</html>"]),
            Answer(before_head=[Do.RESET]),
            Answer(before_head=[Do.STALL]),
        ]
        if streaming:
            faults += [
                Answer.stream([*events[:3], Do.EOF]),
                Answer.stream([*events[:3], Do.RESET]),
                Answer.stream([*events[:2], Do.STALL]),
                Answer.stream(events[:-2]),
                Answer.stream(events, chop=3),
            ]
        return self._chance.choice(faults)


class Callers:
    """So many callers at a time, each calling again and again."""

    def __init__(self, address: str, count: int, chance: random.Random) -> None:
        self._address = address
        self.count = count
        self._chance = chance
        self.outcomes: Counter[str] = Counter()
        """By code, and reason where it is no success."""
        self.unexpected: Counter[str] = Counter()
        self.hung = 0

    async def run(self, until: float) -> None:
        """Calls until a time of the monotonic clock."""
        async with grpc.aio.insecure_channel(self._address, options=[("grpc.enable_retries", 0)]) as channel:
            stub = LlmProxyServiceStub(channel)
            await asyncio.gather(*(self._call_on(stub, until) for _ in range(self.count)))

    async def _call_on(self, stub: LlmProxyServiceStub, until: float) -> None:
        while time.monotonic() < until:
            started = time.monotonic()
            outcome, reason = await self._call(stub)
            self.outcomes[f"{outcome}/{reason}" if reason else outcome] += 1
            if time.monotonic() - started > DEADLINE + PATIENCE:
                self.hung += 1
            if outcome not in EXPECTED:
                self.unexpected[outcome] += 1
            if outcome in REFUSED:
                await asyncio.sleep(TOLD_TO_WAIT)

    def share(self, code: str) -> float:
        """Which part of the calls ended with a code."""
        ended = sum(count for outcome, count in self.outcomes.items() if outcome.partition("/")[0] == code)
        return ended / max(sum(self.outcomes.values()), 1)

    async def _call(self, stub: LlmProxyServiceStub) -> tuple[str, str]:
        question = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.ContentPart(text="Hello?")])
        chat = chat_pb2.ChatRequest(model="assistant", messages=[question])
        streaming = self._chance.random() < 0.5
        call = (
            stub.Stream(chat_pb2.StreamRequest(chat=chat), timeout=DEADLINE)
            if streaming
            else stub.Chat(chat, timeout=DEADLINE)
        )
        leaving = None
        if self._chance.random() < CANCELLED:
            leaving = asyncio.get_running_loop().call_later(self._chance.random() * LEAVES, call.cancel)
        reason = ""
        try:
            if streaming:
                async for _ in call:
                    pass
            else:
                await call
        except grpc.RpcError as error:
            reason = error_detail(error).reason
        except asyncio.CancelledError:
            pass
        finally:
            if leaving is not None:
                leaving.cancel()
        return (await call.code()).name, reason


def look(server: Server, began: float) -> Look:
    """Looks at the proxy from outside."""
    with urllib.request.urlopen(f"http://{server.addresses['http']}/metrics", timeout=5) as response:
        metrics = response.read().decode()
    values: dict[str, float] = {}
    for line in metrics.splitlines():
        name, _, value = line.rpartition(" ")
        if not line.startswith("#"):
            values[name.partition("{")[0]] = values.get(name.partition("{")[0], 0.0) + float(value)
    return Look(
        at=time.monotonic() - began,
        memory=server.memory_mib(),
        files=len(list(Path(f"/proc/{server.pid}/fd").iterdir())),
        tasks=int(values.get("llmproxy_event_loop_tasks", 0)),
        in_flight=int(values.get("llmproxy_calls_in_flight", 0)),
    )


def configuration(upstream: str) -> str:
    """The proxy's: two providers that are the same upstream, and short limits."""
    provider = {"kind": "openai", "api_key": "test-key", "base_url": f"{upstream}/v1"}
    return json.dumps(
        {
            "grpc": {"listen": "127.0.0.1:0", "predrain": 0, "grace": 5},
            "http": {"listen": "127.0.0.1:0"},
            "providers": [{"name": name, **provider} for name in ("a", "b")],
            "models": [{"id": "assistant", "targets": [{"provider": name, "model": "m"} for name in ("a", "b")]}],
            "timeouts": {"first_token": 1, "idle": 1, "connect": 1, "unary": 8, "stream": 8},
            "telemetry": {"log_level": "error"},
        }
    )


async def soak(server: Server, callers: Callers, seconds: float) -> list[Look]:
    """Lets the callers call, looking every five seconds; last, when all is quiet again."""
    began = time.monotonic()
    looks = [await asyncio.to_thread(look, server, began)]
    load = asyncio.create_task(callers.run(began + seconds))
    while not load.done():
        await asyncio.wait({load}, timeout=5)
        looks.append(await asyncio.to_thread(look, server, began))
        print(_line(looks[-1], callers), flush=True)
    await load
    await asyncio.sleep(SETTLE)
    looks.append(await asyncio.to_thread(look, server, began))
    return looks


def faults(looks: Sequence[Look], callers: Callers, seconds: float) -> Iterator[str]:
    """What is wrong with a run, in words."""
    if callers.hung:
        yield f"{callers.hung} calls hung"
    for outcome, count in callers.unexpected.items():
        yield f"{count} calls ended {outcome}"
    if callers.share("OK") < LEAST_OK:
        yield f"only {callers.share('OK'):.0%} of the calls were answered"
    if callers.share("CANCELLED") < LEAST_LEFT:
        yield f"only {callers.share('CANCELLED'):.0%} of the calls were left by their callers"
    first, last = looks[0], looks[-1]
    warm = next((each for each in looks if each.at >= seconds * WARM), last)
    if last.memory - warm.memory > MOST_GROWTH:
        yield f"the memory grew from {warm.memory:.0f} to {last.memory:.0f} MiB"
    if last.in_flight:
        yield f"{last.in_flight} calls are still in flight"
    if last.tasks - first.tasks > MOST_LEFT:
        yield f"{last.tasks - first.tasks} tasks are left over"
    # A connection to a provider, for each call that was in flight at a time, is kept for the next one.
    if last.files - first.files > MOST_LEFT + callers.count:
        yield f"{last.files - first.files} more files are open than before"


def main() -> int:
    """Runs the soak; gives 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long; 600 without it")
    parser.add_argument("--callers", type=int, default=40, help="calls at a time; 40 without it")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is by chance")
    options = parser.parse_args()
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="llmproxy-soak-") as folder:
        return asyncio.run(_run(options, Path(folder)))


async def _run(options: argparse.Namespace, folder: Path) -> int:
    server_core, _ = cores()
    async with FaultyUpstream() as upstream:
        upstream.handler = Provider(random.Random(options.seed)).answer
        file = folder / "llmproxy.yaml"
        file.write_text(configuration(upstream.url), encoding="utf-8")
        directory = f"records.directory={folder / 'records'}"
        command = [sys.executable, "-m", "llmproxy_grpc", "serve", "-c", str(file), "--set", directory]
        forget = asyncio.create_task(_forget(upstream))
        # Started in a thread: its start asks the upstream, which is served by this loop, for its models.
        starting = running(command, core=server_core, log=folder / "log")
        server = await asyncio.to_thread(starting.__enter__)
        try:
            callers = Callers(server.addresses["grpc"], options.callers, random.Random(options.seed + 1))
            looks = await soak(server, callers, options.seconds)
        finally:
            forget.cancel()
            await asyncio.to_thread(starting.__exit__, None, None, None)
    print(_line(looks[-1], callers))
    wrong = list(faults(looks, callers, options.seconds))
    for each in wrong:
        print(f"soak: {each}", file=sys.stderr)
    print("soak: " + ("failed" if wrong else "nothing hung, nothing grew"))
    return 1 if wrong else 0


async def _forget(upstream: FaultyUpstream) -> None:
    """Drops what the upstream remembers of its requests, which would grow for minutes."""
    while True:
        await asyncio.sleep(1)
        upstream.requests.clear()


def _line(seen: Look, callers: Callers) -> str:
    calls = " ".join(f"{outcome} {count}" for outcome, count in sorted(callers.outcomes.items()))
    return (
        f"{seen.at:6.0f} s  {seen.memory:6.1f} MiB  {seen.files:4} files  {seen.tasks:4} tasks  "
        f"{seen.in_flight:4} in flight  {calls}"
    )


if __name__ == "__main__":
    sys.exit(main())
