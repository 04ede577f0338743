"""An HTTP/1.1 server that answers each request byte for byte as its script says, well or badly."""

import asyncio
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self, cast


class Do(Enum):
    """What a script may do between two writes."""

    STALL = "say nothing until `release()` or until the peer closes"
    EOF = "close the connection"
    RESET = "reset the connection"


class Framing(Enum):
    """How the answer's body ends."""

    CHUNKED = "chunked"
    LENGTH = "content-length"
    CLOSE = "end of file"


Step = bytes | float | Do
"""Bytes to write, seconds to wait, or something else to do."""


@dataclass(frozen=True)
class Answer:
    """One answer: steps before its head, its head, and its body in steps; an EOF or RESET ends it there."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    body: Sequence[Step] = ()
    before_head: Sequence[Step] = ()
    framing: Framing = Framing.LENGTH
    length: int | None = None
    """The content-length to claim, if not the true one."""
    chop: int = 0
    """Writes at most so many bytes at a time; 0 for whole steps."""
    raw: Sequence[Step] | None = None
    """Written instead of head and body: garbage, or an answer with a malformed head."""
    after: Sequence[Step] = ()
    """Done after the end of the body, such as bytes that nobody asked for."""

    @classmethod
    def json(cls, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> "Answer":
        return cls(status=status, headers={"content-type": "application/json", **(headers or {})}, body=[body])

    @classmethod
    def stream(cls, body: Sequence[Step], *, headers: Mapping[str, str] | None = None, chop: int = 0) -> "Answer":
        return cls(
            headers={"content-type": "text/event-stream", **(headers or {})},
            body=body,
            framing=Framing.CHUNKED,
            chop=chop,
        )


@dataclass
class Request:
    """A request as it came; `closed` is set as soon as its connection is gone, by either side."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    arrived_at: float
    connection: int
    closed: asyncio.Event

    def json(self) -> Any:
        return json.loads(self.body)


class FaultyUpstream:
    """Hold it with `async with`; answers by `script()`, else by `handler`, else by `default`."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, unix_path: str | None = None) -> None:
        self.requests: list[Request] = []
        self.default = Answer.json(openai_answer("Hello"))
        self.handler: Callable[[Request], Answer] | None = None
        self.close_on_reuse: Do | None = None
        """What happens to each second request of a connection, before a byte of an answer: EOF or RESET."""
        self.connections = 0
        self._answers: deque[Answer] = deque()
        self._released = asyncio.Event()
        self._arrived = asyncio.Event()
        self._open: set[_Connection] = set()
        self._tls = tls
        self._unix_path = unix_path
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._unix_path is None:
            self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]
        else:
            self._server = await loop.create_unix_server(lambda: _Connection(self), self._unix_path)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [connection.task for connection in self._open if connection.task is not None]
        for connection in tuple(self._open):
            connection.drop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def script(self, *answers: Answer) -> None:
        """Says how the next requests are answered, in the order of their arrival."""
        self._answers.extend(answers)

    def release(self) -> None:
        """Ends every stall, now and later."""
        self._released.set()

    async def arrived(self, count: int = 1) -> Request:
        """Waits until so many requests have come, and gives the last of them."""
        while len(self.requests) < count:
            self._arrived.clear()
            await self._arrived.wait()
        return self.requests[count - 1]

    def _answer(self, request: Request) -> Answer:
        if self._answers:
            return self._answers.popleft()
        return self.default if self.handler is None else self.handler(request)


class _Connection(asyncio.Protocol):
    """One connection: its bytes come in by callbacks, its answers go out by a task."""

    def __init__(self, upstream: FaultyUpstream) -> None:
        self._upstream = upstream
        self._incoming = b""
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()
        self._number = 0
        self._transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own
        self._upstream.connections += 1
        self._number = self._upstream.connections
        self._upstream._open.add(self)
        self.task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._incoming += data
        self._changed.set()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()
        self._changed.set()
        self._upstream._open.discard(self)

    def drop(self, *, reset: bool = False) -> None:
        if self._transport is None:
            return
        if reset:
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()

    async def _serve(self) -> None:
        served = 0
        while (request := await self._read_request()) is not None:
            self._upstream.requests.append(request)
            self._upstream._arrived.set()
            served += 1
            if served > 1 and self._upstream.close_on_reuse is not None:
                self.drop(reset=self._upstream.close_on_reuse is Do.RESET)
                return
            if not await self._play(self._upstream._answer(request)):
                return

    async def _read_request(self) -> Request | None:
        head, _, _ = (await self._read_until(b"\r\n\r\n")).partition(b"\r\n\r\n")
        if not head:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self._read_exactly(int(headers.get("content-length", "0")))
        if body is None:
            return None
        now = asyncio.get_running_loop().time()
        return Request(method, path, headers, body, now, self._number, self._closed)

    async def _read_until(self, end: bytes) -> bytes:
        while end not in self._incoming:
            if self._closed.is_set():
                return b""
            self._changed.clear()
            await self._changed.wait()
        size = self._incoming.index(end) + len(end)
        taken, self._incoming = self._incoming[:size], self._incoming[size:]
        return taken

    async def _read_exactly(self, size: int) -> bytes | None:
        while len(self._incoming) < size:
            if self._closed.is_set():
                return None
            self._changed.clear()
            await self._changed.wait()
        taken, self._incoming = self._incoming[:size], self._incoming[size:]
        return taken

    async def _play(self, answer: Answer) -> bool:
        """Plays an answer; whether the connection may serve another request."""
        steps = _steps(answer) if answer.raw is None else answer.raw
        for step in (*steps, *answer.after):
            if not await self._do(step, answer):
                return False
        return True

    async def _do(self, step: Step, answer: Answer) -> bool:
        """Takes one step; False if the connection is closed after it."""
        if isinstance(step, bytes):
            await self._write(step, answer.chop)
        elif step is Do.STALL:
            await self._stall()
        elif step is Do.EOF or step is Do.RESET:
            self.drop(reset=step is Do.RESET)
            return False
        else:
            await asyncio.sleep(step)
        return not self._closed.is_set()

    async def _write(self, data: bytes, chop: int) -> None:
        assert self._transport is not None
        for start in range(0, len(data), chop or len(data) or 1):
            if self._closed.is_set():
                return
            self._transport.write(data[start : start + chop] if chop else data)
            # The peer, on the same loop, reads before the next write.
            await asyncio.sleep(0)

    async def _stall(self) -> None:
        waits = [
            asyncio.ensure_future(self._closed.wait()),
            asyncio.ensure_future(self._upstream._released.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _steps(answer: Answer) -> list[Step]:
    steps: list[Step] = [*answer.before_head, _head(answer)]
    if answer.framing is not Framing.CHUNKED:
        return [*steps, *answer.body, *([Do.EOF] if answer.framing is Framing.CLOSE else [])]
    steps += [
        b"%x\r\n%b\r\n" % (len(step), step) if isinstance(step, bytes) else step for step in answer.body if step != b""
    ]
    return [*steps, b"0\r\n\r\n"]


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} Whatever", *(f"{name}: {value}" for name, value in answer.headers.items())]
    if answer.framing is Framing.CHUNKED:
        lines.append("transfer-encoding: chunked")
    elif answer.framing is Framing.LENGTH:
        true = sum(len(step) for step in answer.body if isinstance(step, bytes))
        lines.append(f"content-length: {true if answer.length is None else answer.length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def openai_stream(
    deltas: str | Sequence[str],
    *,
    model: str = "test-model",
    usage: tuple[int, int] | None = (5, 7),
    finish: str | None = "stop",
    done: bool = True,
) -> list[bytes]:
    """The events of a Chat Completions stream, one piece each: the role, the deltas, the finish, the usage, the end.

    Args:
        deltas: The text; a string is one delta.
        model: The model to name.
        usage: Tokens of prompt and completion; None leaves the event out.
        finish: The finish reason; None leaves the event out.
        done: Whether `[DONE]` ends the stream.
    """
    choices: list[list[dict[str, Any]]] = [[_choice({"role": "assistant", "content": ""}, None)]]
    choices += [[_choice({"content": text}, None)] for text in ([deltas] if isinstance(deltas, str) else deltas)]
    if finish is not None:
        choices.append([_choice({}, finish)])
    chunks = [_chunk(model, choice) for choice in choices]
    if usage is not None:
        chunks.append({**_chunk(model, []), "usage": _usage(*usage)})
    pieces = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return [*pieces, b"data: [DONE]\n\n"] if done else pieces


def openai_answer(
    text: str, *, model: str = "test-model", usage: tuple[int, int] | None = (5, 7), finish: str = "stop"
) -> bytes:
    """The body of a Chat Completions answer in one piece."""
    message = {"role": "assistant", "content": text}
    answer: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1767225600,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
    }
    if usage is not None:
        answer["usage"] = _usage(*usage)
    return json.dumps(answer).encode()


def _chunk(model: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1767225600,
        "model": model,
        "choices": choices,
    }


def _choice(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
