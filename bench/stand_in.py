"""A stand-in provider in raw asyncio: Chat Completions answered at once, in a burst, paced, or never to the end.

The model's name says how: `answer` or `answer-N`, `burst-N`, `paced-N-Mms`, `stall`. `GET /count` tells what was
served.
"""

import asyncio
import functools
import re
from typing import cast

import msgspec
import uvloop

RESPONSE = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"
MODEL = re.compile(r"(answer|burst|paced|stall)(?:-(\d+))?(?:-(\d+)ms)?")
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Plan(msgspec.Struct, frozen=True):
    """How to answer: so many tokens, so many seconds apart, or the first one and then silence."""

    tokens: int
    gap: float = 0.0
    stall: bool = False


class Count(msgspec.Struct):
    """What was served: requests begun, answers complete, streams open now."""

    requests: int = 0
    completed: int = 0
    open: int = 0


class Completion(msgspec.Struct, frozen=True):
    """The fields of a request that decide the answer."""

    model: str
    stream: bool = False


def plan(model: str) -> Plan | None:
    """Reads a model's name; None for a model that does not exist."""
    match = MODEL.fullmatch(model)
    if match is None:
        return None
    gap = int(match[3] or 30) / 1000 if match[1] == "paced" else 0.0
    return Plan(tokens=int(match[2] or 16), gap=gap, stall=match[1] == "stall")


def words(tokens: int) -> tuple[str, ...]:
    """Gives the text of an answer, token by token."""
    return tuple(f"{' ' if number else ''}word{number % 10}" for number in range(tokens))


@functools.cache
def answer(tokens: int) -> bytes:
    """Gives a `chat.completion` as JSON."""
    message = {"role": "assistant", "content": "".join(words(tokens))}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return _completion("chat.completion", choices=[choice], usage=_usage(tokens))


@functools.cache
def events(tokens: int) -> tuple[bytes, ...]:
    """Gives a stream's events, each one HTTP chunk: the role, every token, the finish, the usage, the end marker."""
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in words(tokens))]
    bodies = [_delta(delta, None) for delta in deltas]
    bodies.append(_delta({}, "stop"))
    bodies.append(_completion("chat.completion.chunk", choices=[], usage=_usage(tokens)))
    bodies.append(b"[DONE]")
    return tuple(_chunk(b"data: %s\n\n" % body) for body in bodies)


class StandIn(asyncio.Protocol):
    """One keep-alive connection; requests are answered in turn."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._streaming = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """Gives up a stream whose reader left."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._end_stream()

    def data_received(self, data: bytes) -> None:
        """Answers every whole request that has come."""
        self._buffer += data
        while not self._streaming and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = CONTENT_LENGTH.search(self._buffer, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < size:
                return
            request, self._buffer = self._buffer[:size], self._buffer[size:]
            self._respond(request[: request.index(b"\r\n")], request[end + 4 :])

    def _respond(self, line: bytes, body: bytes) -> None:
        if line.startswith(b"POST /v1/chat/completions "):
            self._complete(msgspec.json.decode(body, type=Completion))
        elif line.startswith(b"GET /count "):
            self._send(b"200 OK", msgspec.json.encode(self._count))
        elif line.startswith(b"GET /v1/models "):
            self._send(b"200 OK", b'{"object":"list","data":[{"id":"answer","object":"model"}]}')
        else:
            self._send(b"404 Not Found", b'{"error":{"message":"no such path"}}')

    def _complete(self, completion: Completion) -> None:
        self._count.requests += 1
        wanted = plan(completion.model)
        if wanted is None:
            self._send(b"404 Not Found", b'{"error":{"message":"no such model","code":"model_not_found"}}')
        elif completion.stream:
            self._stream(wanted)
        else:
            self._send(b"200 OK", answer(wanted.tokens))
            self._count.completed += 1

    def _stream(self, wanted: Plan) -> None:
        self._streaming = True
        self._count.open += 1
        chunks = events(wanted.tokens)
        if not (wanted.gap or wanted.stall):
            self._write(STREAM + b"".join(chunks) + STREAM_END)
            self._finish()
            return
        self._write(STREAM + chunks[0] + chunks[1])
        if wanted.gap:
            self._pace(wanted, asyncio.get_running_loop().time() + wanted.gap, 2)

    def _pace(self, wanted: Plan, at: float, position: int) -> None:
        """Sends the events from `position` on, by a fixed timetable; finish, usage and end marker leave together."""
        self._timer = asyncio.get_running_loop().call_at(at, self._tick, wanted, at, position)

    def _tick(self, wanted: Plan, at: float, position: int) -> None:
        chunks = events(wanted.tokens)
        if position <= wanted.tokens:
            self._write(chunks[position])
            self._pace(wanted, at + wanted.gap, position + 1)
            return
        self._write(b"".join(chunks[position:]) + STREAM_END)
        self._finish()
        self.data_received(b"")

    def _finish(self) -> None:
        self._count.completed += 1
        self._end_stream()

    def _end_stream(self) -> None:
        if self._streaming:
            self._streaming = False
            self._count.open -= 1

    def _send(self, status: bytes, body: bytes) -> None:
        self._write(RESPONSE % (status, len(body), body))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def serve(port: int = 0) -> None:
    """Serves on loopback until the process ends; prints `http ADDRESS` and `ready`."""
    count = Count()
    server = await asyncio.get_running_loop().create_server(lambda: StandIn(count), "127.0.0.1", port, backlog=2048)
    print(f"http 127.0.0.1:{server.sockets[0].getsockname()[1]}\nready", flush=True)
    await server.serve_forever()


def _delta(delta: dict[str, str], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _completion("chat.completion.chunk", choices=[choice])


def _completion(kind: str, **fields: object) -> bytes:
    return msgspec.json.encode({"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": "m", **fields})


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 12, "completion_tokens": tokens, "total_tokens": 12 + tokens}


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


if __name__ == "__main__":
    uvloop.run(serve())
