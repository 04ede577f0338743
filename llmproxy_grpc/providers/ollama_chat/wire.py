"""Ollama's own API over HTTP."""

import asyncio
from functools import partial
from typing import Final

from msgspec.json import encode

from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse, Usage
from llmproxy_grpc.providers.counts import clipped
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http_chat import HttpChat, Reply
from llmproxy_grpc.providers.jsonio import decode, joined
from llmproxy_grpc.providers.ndjson import LineReader
from llmproxy_grpc.providers.ollama_chat.features import FEATURES
from llmproxy_grpc.providers.ollama_chat.models import read_model
from llmproxy_grpc.providers.ollama_chat.request import encode_embed, encode_request
from llmproxy_grpc.providers.ollama_chat.shapes import MODELS, VECTORS
from llmproxy_grpc.providers.ollama_chat.stream import LineDecoder, read_answer
from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.providers.upstream import MAX_LIST_BYTES, Upstream, unread
from llmproxy_grpc.providers.vectors import read_vectors
from llmproxy_grpc.providers.writing import written

_MOST_SHOWN: Final = 200
"""Models that are asked for one by one; the rest of a longer list stays without capabilities."""
_SHOWN_AT_A_TIME: Final = 4

_read_list: Final = partial(decode, decoder=MODELS)


class OllamaChat(HttpChat[bytes]):
    """Speaks with one server."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream)
        self._known: dict[tuple[str, str], UpstreamModel] = {}
        """What was told of models, by name and digest: it does not change."""

    def features(self, model: str) -> Features:  # noqa: ARG002 - models differ, but only they know how
        """What a model can do."""
        return FEATURES

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the body says both
        """Where models answer."""
        return "/api/chat"

    def encode(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """Writes an adapted request."""
        return encode_request(request, model, stream=stream)

    def read(self, data: bytes, reply: Reply) -> ProviderResponse:
        """Reads an answer in one piece."""
        return read_answer(data, reply)

    def framing(self) -> LineReader:
        """Pieces come as lines."""
        return LineReader()

    def decoder(self, reply: Reply) -> LineDecoder:
        """Reads the lines of one stream."""
        return LineDecoder(reply)

    async def embed(self, request: EmbedRequest, model: str) -> EmbedResponse:
        """Turns inputs into vectors; raises as every provider does."""
        async with self.upstream.post("/api/embed", await written(encode_embed, request, model)) as response:
            return await self.upstream.read(response, partial(_read_embed, request))

    async def list_models(self) -> list[UpstreamModel]:
        """Lists the models, each with what the server tells of it."""
        listed = (await self.upstream.get("/api/tags", MAX_LIST_BYTES, _read_list)).models
        gate = asyncio.Semaphore(_SHOWN_AT_A_TIME)
        wanted = [
            (joined(name), str(entry.digest))
            for entry in listed
            if isinstance(name := entry.model or entry.name, str) and name
        ]
        shown = await asyncio.gather(*(self._show(name, digest, gate) for name, digest in wanted[:_MOST_SHOWN]))
        return [*shown, *(UpstreamModel(name) for name, _ in wanted[_MOST_SHOWN:])]

    async def probe(self) -> None:
        """Raises a ProxyError unless the server answers well."""
        await self.upstream.get("/api/version", MAX_LIST_BYTES, unread)

    async def _show(self, name: str, digest: str, gate: asyncio.Semaphore) -> UpstreamModel:
        known = self._known.get((name, digest))
        if known is not None:
            return known
        try:
            async with gate, self.upstream.post("/api/show", encode({"model": name})) as response:
                model = await self.upstream.read(response, partial(read_model, name), MAX_LIST_BYTES)
        except ProxyError:
            return UpstreamModel(name)  # the list is what was asked for
        self._known[(name, digest)] = model
        return model


def _read_embed(request: EmbedRequest, document: bytes) -> EmbedResponse:
    answer = decode(document, VECTORS)
    vectors = read_vectors(answer.embeddings, inputs=len(request.inputs), dimensions=request.dimensions)
    tokens = clipped(answer.prompt_eval_count)
    return EmbedResponse(vectors, Usage(tokens, 0, tokens) if tokens else None)
