"""Calls through a server to faulty upstreams, the same for Chat and Stream."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from llmproxy_grpc._gen.v1 import chat_pb2, health_pb2
from tests.fakes.faulty_upstream import Answer, FaultyUpstream, Request, openai_answer, openai_stream
from tests.fakes.requests import RichError, chat_request, stream_request
from tests.rpc.conftest import Serving, asking

SOON = 1.0  # what is promised within 100 ms; tests assert ten times the figure
PATIENCE = 0.25
LIST = Answer.json(b'{"data":[]}')
Code = grpc.StatusCode


@dataclass
class Said:
    """What a successful call said, the same for Chat and Stream."""

    text: str
    route: Any
    usage: Any
    finish: int


@asynccontextmanager
async def proxying(serve, *upstreams: FaultyUpstream, **sections: Any) -> AsyncIterator[Serving]:
    """A server before these upstreams, which have listed their models already."""
    for upstream in upstreams:
        upstream.script(LIST)
    async with serve(asking(*(f"{upstream.url}/v1" for upstream in upstreams), **sections)) as server:
        for upstream in upstreams:
            await upstream.arrived()
            upstream.requests.clear()
        yield server


def called(
    server: Serving, method: str, *, text: str = "Hi", timeout: float | None = 20, first_token: float = 0
) -> Any:
    """The call itself, not yet awaited; what failed before it is forgotten, so that each case stands by itself."""
    server.forget()
    request: Any = stream_request(text) if method == "Stream" else chat_request(text)
    if first_token:
        chat = request.chat if method == "Stream" else request
        chat.routing.first_token_timeout.FromNanoseconds(int(first_token * 1e9))
        chat.routing.idle_timeout.FromNanoseconds(int(first_token * 1e9))
    return getattr(server.stub, method)(request, timeout=timeout)


async def said(call: Any) -> Said:
    """What a call says that must be OK."""
    if not hasattr(call, "__aiter__"):
        answer: chat_pb2.ChatResponse = await call
        (candidate,) = answer.candidates
        text = "".join(part.text for part in candidate.message.parts)
        return Said(text, answer.route, answer.usage, candidate.finish_reason)
    events = [event async for event in call]
    assert events[-1].WhichOneof("event") == "end"
    (finish,) = (event.finish.finish_reason for event in events if event.HasField("finish"))
    text = "".join(event.delta.text for event in events)
    return Said(text, events[-1].end.route, events[-1].end.usage, finish)


def well(text: str, method: str, **how: Any) -> Answer:
    """A good answer to a call of this method."""
    return Answer.stream(openai_stream(text, **how)) if method == "Stream" else Answer.json(openai_answer(text, **how))


def saying(document: bytes, method: str) -> Answer:
    """One JSON document as the answer, or as the only event of it before the end marker."""
    return (
        Answer.stream([b"data: %b\n\n" % document, b"data: [DONE]\n\n"])
        if method == "Stream"
        else Answer.json(document)
    )


def chunk(message: str, method: str, **more: str) -> bytes:
    """A document with one candidate that is complete; `message` and `more` are JSON, well formed or not."""
    kind = "delta" if method == "Stream" else "message"
    rest = "".join(f',"{name}":{value}' for name, value in more.items())
    return f'{{"choices":[{{"index":0,"{kind}":{message},"finish_reason":"stop"}}]{rest}}}'.encode()


async def read_failure(call: Any) -> RichError:
    """Reads on in a stream that must fail, of which something has been read."""
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return RichError(error)
    raise AssertionError("the call did not fail")


async def gone(request: Request) -> float:
    """Waits until a request's connection is closed; gives the seconds that took."""
    began = time.perf_counter()
    async with asyncio.timeout(SOON):
        await request.closed.wait()
    return time.perf_counter() - began


async def nothing_in_flight(server: Serving) -> None:
    """Waits until the server knows of no call."""
    async with asyncio.timeout(SOON):
        while True:
            health = await server.stub.Health(health_pb2.HealthRequest())
            # The one that asks is a call itself.
            if (health.load.active_calls, health.load.active_streams) == (1, 0):
                break
            await asyncio.sleep(0.005)
    assert all(provider.in_flight == 0 for provider in health.providers)
