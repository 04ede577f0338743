"""The other side of `bench.kinds`: an upstream for each kind, until standard input closes."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

from bench.kinds import TOKENS
from tests.fakes.faulty_upstream import Answer, FaultyUpstream, Request
from tests.providers.http_kind import HttpKind
from tests.providers.kinds import HTTP_KINDS


class StandIn:
    """Answers as a kind's vendor, from bytes that are made once."""

    def __init__(self, kind: HttpKind) -> None:
        frames = kind.stream([" token"] * TOKENS, ("5", "7"))
        self._kind = kind
        self._burst = kind.streaming([b"".join(frames)])
        self._paced = kind.streaming(frames)
        self._answer = Answer.json(kind.answer("A short answer."))

    def respond(self, request: Request) -> Answer:
        """Answers one request."""
        if not self._kind.streamed(request):
            return self._answer
        return self._burst if b"burst" in request.body else self._paced


async def serve() -> None:
    """Serves every kind on a port of its own, and prints which."""
    async with AsyncExitStack() as stack:
        ports = {}
        for kind in HTTP_KINDS:
            upstream = await stack.enter_async_context(FaultyUpstream())
            upstream.handler = StandIn(kind).respond
            ports[kind.name] = upstream.port
        print(json.dumps(ports), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
