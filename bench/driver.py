"""Makes the load by h2load, which needs so little CPU that it is never the bottleneck, and reads what it measured."""

import math
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.processes import on_core
from bench.scenarios import Load
from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2

PATIENCE = 60.0
"""Longest time of one round, in seconds."""


class DriverFailed(Exception):
    """The load could not be made."""


class Timing(msgspec.Struct, frozen=True):
    """What one round took: seconds for the whole, and for each call, ascending."""

    wall: float
    latencies: Sequence[float]

    def quantile(self, share: float) -> float:
        """Gives the latency, in seconds, that this share of the calls stays within."""
        return self.latencies[max(math.ceil(share * len(self.latencies)) - 1, 0)]


class Driver:
    """Calls the server at `address`; keeps its files in `directory`."""

    def __init__(self, address: str, *, core: int, directory: Path) -> None:
        self._address = address
        self._core = core
        self._directory = directory

    def drive(self, load: Load, calls: int) -> Timing:
        """Makes so many calls.

        Raises:
            DriverFailed: h2load is missing, failed, or saw anything but HTTP 200.
        """
        times = self._directory / "times"
        times.unlink(missing_ok=True)
        with on_core(self._core):
            begun = time.monotonic()
            finished = subprocess.run(
                self._command(load, calls, times), check=False, capture_output=True, timeout=PATIENCE
            )
            wall = time.monotonic() - begun
        if finished.returncode:
            raise DriverFailed(f"h2load: {finished.stderr.decode(errors='replace')[-500:]}")
        return Timing(wall=wall, latencies=read_times(times.read_text(encoding="ascii"), calls))

    @contextmanager
    def held_open(self, load: Load) -> Iterator[None]:
        """Keeps calls open that do not end by themselves; the callers leave when the block ends."""
        command = self._command(load, load.calls, self._directory / "times")
        with on_core(self._core):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with process:
            try:
                yield
            finally:
                process.kill()

    def _command(self, load: Load, calls: int, times: Path) -> list[str]:
        program = shutil.which("h2load")
        if program is None:
            raise DriverFailed("h2load is missing: install nghttp2-client (Debian) or nghttp2 (Homebrew)")
        request = self._directory / f"{load.name}.bin"
        request.write_bytes(frame(load))
        shape = ["-n", str(calls), "-c", str(load.connections), "-m", str(load.in_flight), "-d", str(request)]
        headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]  # codespell:ignore te
        url = f"http://{self._address}/llmproxy.v1.LlmProxyService/{load.method}"
        return [program, *shape, *headers, f"--log-file={times}", url]


def chat_request(load: Load) -> chat_pb2.ChatRequest:
    """Gives the conversation of a load."""
    said = {
        content_pb2.ROLE_SYSTEM: "You are a helpful assistant. Answer in one sentence.",
        content_pb2.ROLE_USER: "Why is the sky blue, and why is it red in the evening?",
    }
    messages = [
        content_pb2.Message(role=role, parts=[content_pb2.ContentPart(text=text)]) for role, text in said.items()
    ]
    return chat_pb2.ChatRequest(model=load.model, messages=messages)


def frame(load: Load) -> bytes:
    """Gives the request as gRPC sends it: a flag, four bytes of length, the message."""
    chat = chat_request(load)
    message = (chat_pb2.StreamRequest(chat=chat) if load.stream else chat).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


def read_times(rows: str, calls: int) -> list[float]:
    """Reads h2load's rows of start, HTTP status and microseconds; gives seconds, ascending.

    Raises:
        DriverFailed: a call is missing or was not answered by 200.
    """
    columns = [row.split("\t") for row in rows.splitlines()]
    answered = [int(column[2]) / 1e6 for column in columns if column[1] == "200"]
    if len(answered) != calls:
        raise DriverFailed(f"h2load: {len(answered)} of {calls} calls were answered by HTTP 200")
    return sorted(answered)
