"""The other side of `bench.kinds`: an upstream for each kind, until standard input closes."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

import grpc

from bench.kinds import RELAY, TOKENS
from llmproxy_grpc._gen.v1.chat_pb2 import ChatResponse, StreamResponse
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


class RelayStandIn(grpc.GenericRpcHandler):
    """Answers as a proxy of our own, which sends what one read of its provider gave as one delta."""

    def __init__(self) -> None:
        usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12, "source": "USAGE_SOURCE_PROVIDER"}
        said = {"role": "ROLE_ASSISTANT", "parts": [{"text": "A short answer."}]}
        candidate = {"message": said, "finish_reason": "FINISH_REASON_STOP", "raw_finish_reason": "stop"}
        self._answer = _bytes(ChatResponse(id="1", model="m", candidates=[candidate], usage=usage))
        self._start = _bytes(StreamResponse(start={"id": "1", "model": "m"}))
        self._token = _bytes(StreamResponse(delta={"text": " token"}))
        self._burst = _bytes(StreamResponse(delta={"text": " token" * TOKENS}))
        finish = StreamResponse(finish={"finish_reason": "FINISH_REASON_STOP"})
        self._end = (_bytes(finish), _bytes(StreamResponse(end={"usage": usage})))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """The handler of a method."""
        if handler_call_details.method.endswith("/Stream"):
            return grpc.unary_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._chat)

    async def _chat(self, request: bytes, context: object) -> bytes:  # noqa: ARG002 - what gRPC calls
        return self._answer

    async def _stream(self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
        deltas = [self._burst] if b"burst" in request else [self._token] * TOKENS
        for message in (self._start, *deltas, *self._end):
            await context.write(message)


def _bytes(message: ChatResponse | StreamResponse) -> bytes:
    return message.SerializeToString()


async def serve() -> None:
    """Serves every kind on a port of its own, and prints which."""
    async with AsyncExitStack() as stack:
        ports = {}
        for kind in HTTP_KINDS:
            upstream = await stack.enter_async_context(FaultyUpstream())
            upstream.handler = StandIn(kind).respond
            ports[kind.name] = upstream.port
        relay = grpc.aio.server()
        relay.add_generic_rpc_handlers((RelayStandIn(),))
        ports[RELAY] = relay.add_insecure_port("127.0.0.1:0")
        await relay.start()
        print(json.dumps(ports), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await relay.stop(None)


if __name__ == "__main__":
    asyncio.run(serve())
