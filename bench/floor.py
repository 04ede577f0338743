"""The floor: the barest honest pass-through, grpc.aio to aiohttp and back, with no feature, to compare the proxy with.

It has no validation, deadline, log, metric, interceptor or error table. A stream sends one message for each event.
"""

import sys
from typing import Any

import aiohttp
import grpc.aio
import msgspec
import uvloop

from llmproxy_grpc._gen.v1 import chat_pb2, content_pb2, generation_pb2

ROLES = {content_pb2.ROLE_SYSTEM: "system", content_pb2.ROLE_USER: "user", content_pb2.ROLE_ASSISTANT: "assistant"}
HEADERS = {"content-type": "application/json", "authorization": "Bearer test-key"}


class Piece(msgspec.Struct, frozen=True):
    """A message of a completion, or a delta of a chunk."""

    content: str | None = None


class Choice(msgspec.Struct, frozen=True):
    """One choice of a completion or chunk."""

    message: Piece = Piece()
    delta: Piece = Piece()
    finish_reason: str | None = None


class TokenCounts(msgspec.Struct, frozen=True):
    """The usage of a completion."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Answer(msgspec.Struct, frozen=True):
    """A completion or a chunk: the few fields that pass through."""

    id: str
    choices: list[Choice]
    usage: TokenCounts | None = None


DECODER = msgspec.json.Decoder(Answer)
ENCODER = msgspec.json.Encoder()


class Floor:
    """Passes Chat and Stream through to one provider."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def chat(self, request: chat_pb2.ChatRequest, _context: Any) -> chat_pb2.ChatResponse:
        """Answers in one piece."""
        async with self._session.post(self._url, data=_body(request, stream=False), headers=HEADERS) as response:
            answer = DECODER.decode(await response.read())
        parts = [content_pb2.ContentPart(text=answer.choices[0].message.content or "")]
        candidate = chat_pb2.Candidate(
            message=content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=parts),
            finish_reason=generation_pb2.FINISH_REASON_STOP,
        )
        return chat_pb2.ChatResponse(
            id=answer.id, model=request.model, candidates=[candidate], usage=_usage(answer.usage)
        )

    async def stream(self, request: chat_pb2.StreamRequest, context: Any) -> None:
        """Answers event by event."""
        sequence = 0
        rest = b""
        async with self._session.post(self._url, data=_body(request.chat, stream=True), headers=HEADERS) as response:
            async for data in response.content.iter_any():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    if event == b"data: [DONE]":
                        return
                    message = _message(DECODER.decode(event[6:]), sequence, request.chat.model)
                    await context.write(message)
                    sequence += 1


def _body(request: chat_pb2.ChatRequest, *, stream: bool) -> bytes:
    messages = [{"role": ROLES[message.role], "content": message.parts[0].text} for message in request.messages]
    body: dict[str, object] = {"model": request.model.partition("/")[2], "messages": messages}
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return ENCODER.encode(body)


def _message(answer: Answer, sequence: int, model: str) -> chat_pb2.StreamResponse:
    if not answer.choices:
        return chat_pb2.StreamResponse(sequence=sequence, end=chat_pb2.StreamEnd(usage=_usage(answer.usage)))
    choice = answer.choices[0]
    if choice.finish_reason is not None:
        finish = chat_pb2.CandidateFinish(finish_reason=generation_pb2.FINISH_REASON_STOP)
        return chat_pb2.StreamResponse(sequence=sequence, finish=finish)
    if sequence == 0:
        return chat_pb2.StreamResponse(start=chat_pb2.StreamStart(id=answer.id, model=model))
    delta = chat_pb2.ContentDelta(text=choice.delta.content or "")
    return chat_pb2.StreamResponse(sequence=sequence, delta=delta)


def _usage(counts: TokenCounts | None) -> generation_pb2.Usage | None:
    if counts is None:
        return None
    return generation_pb2.Usage(
        input_tokens=counts.prompt_tokens, output_tokens=counts.completion_tokens, total_tokens=counts.total_tokens
    )


def _handlers(floor: Floor) -> grpc.GenericRpcHandler:
    chat = grpc.unary_unary_rpc_method_handler(
        floor.chat,
        request_deserializer=chat_pb2.ChatRequest.FromString,
        response_serializer=chat_pb2.ChatResponse.SerializeToString,
    )
    stream = grpc.unary_stream_rpc_method_handler(
        floor.stream,
        request_deserializer=chat_pb2.StreamRequest.FromString,
        response_serializer=chat_pb2.StreamResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler("llmproxy.v1.LlmProxyService", {"Chat": chat, "Stream": stream})


async def serve(base_url: str) -> None:
    """Serves on a free loopback port until the process ends; prints `grpc ADDRESS` and `ready`."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    )
    async with session:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        floor = Floor(session, f"{base_url}/chat/completions")
        server.add_generic_rpc_handlers((_handlers(floor),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(f"grpc 127.0.0.1:{port}\nready", flush=True)
        await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
