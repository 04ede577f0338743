"""generateContent over HTTP, at Google AI Studio and at Vertex AI."""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from llmproxy_grpc.errors import CapabilityNotSupported
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse
from llmproxy_grpc.providers.counts import prompt_tokens
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.generate_content.embeddings import (
    encode_batch,
    encode_predict,
    encode_vertex_batch,
    read_batch,
    read_predictions,
)
from llmproxy_grpc.providers.generate_content.features import adapt_content, features_of, predicts
from llmproxy_grpc.providers.generate_content.models import read_page
from llmproxy_grpc.providers.generate_content.place import Place, bare
from llmproxy_grpc.providers.generate_content.request import encode_count, encode_request, encode_vertex_count
from llmproxy_grpc.providers.generate_content.shapes import COUNTED
from llmproxy_grpc.providers.generate_content.stream import ContentDecoder, read_answer
from llmproxy_grpc.providers.http_chat import HttpChat, Reply
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.listing import all_pages, marked
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.sse import ServerSentEvent, SseReader
from llmproxy_grpc.providers.upstream import MAX_ANSWER_BYTES, MAX_COUNT_BYTES, MAX_LIST_BYTES, Upstream, unread
from llmproxy_grpc.providers.writing import written

_read_count: Final = partial(decode, decoder=COUNTED)

T = TypeVar("T")


class GenerateContent(HttpChat[ServerSentEvent]):
    """Speaks with one upstream.

    Args:
        upstream: Whom to speak to.
        place: Where its models are.
        tail_seconds: How long a stream whose candidates have all ended is read on for its end.
    """

    def __init__(self, upstream: Upstream, place: Place, *, tail_seconds: float = 2.0) -> None:
        super().__init__(upstream, tail_seconds=tail_seconds)
        self._place = place

    def features(self, model: str) -> Features:
        """What a model can do."""
        return features_of(model, vertex=self._place.vertex)

    def adapt(self, request: ChatRequest, model: str) -> Adapted:
        """Leaves out what a model cannot honour."""
        return adapt_content(request, model, vertex=self._place.vertex)

    def path(self, model: str, *, stream: bool) -> str:
        """Where a model answers."""
        return self._place.method(model, "streamGenerateContent?alt=sse" if stream else "generateContent")

    def encode(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:  # noqa: ARG002 - the path says it
        """Writes an adapted request."""
        return encode_request(request, model, vertex=self._place.vertex)

    def read(self, data: bytes, reply: Reply) -> ProviderResponse:
        """Reads an answer in one piece."""
        return read_answer(data, reply)

    def framing(self) -> SseReader:
        """Chunks come as server-sent events, and an error may come bare."""
        return SseReader(keep_bare_json=True)

    def decoder(self, reply: Reply) -> ContentDecoder:
        """Reads the chunks of one stream."""
        return ContentDecoder(reply)

    async def count_tokens(self, request: ChatRequest, model: str) -> int:
        """Counts the tokens of a prompt; raises as every provider does."""
        name = f"models/{bare(model)}"
        if self._place.vertex:
            body = await written(encode_vertex_count, request, model)
        else:
            body = await written(encode_count, request, model, name=name)
        counted = await self._ask(self._place.method(model, "countTokens"), body, _read_count, MAX_COUNT_BYTES)
        return prompt_tokens(counted.totalTokens)

    async def embed(self, request: EmbedRequest, model: str) -> EmbedResponse:
        """Turns inputs into vectors; raises as every provider does."""
        if self.features(model).embed is None:
            raise CapabilityNotSupported("This model makes no vectors.")
        if predicts(model, vertex=self._place.vertex):
            path, read = self._place.method(model, "predict"), read_predictions
            body = await written(encode_predict, request)
        else:
            name = f"models/{bare(model)}"
            if self._place.vertex:
                body = await written(encode_vertex_batch, request)
            else:
                body = await written(encode_batch, request, name)
            path, read = self._place.method(model, "batchEmbedContents"), read_batch
        return await self._ask(path, body, partial(read, request=request), MAX_ANSWER_BYTES)

    async def list_models(self) -> list[UpstreamModel]:
        """Lists the models, page by page."""
        return await all_pages(self._page)

    async def probe(self) -> None:
        """Raises a ProxyError unless the upstream answers well."""
        await self.get(f"{self._place.listing}?pageSize=1", MAX_LIST_BYTES, unread)

    async def _page(self, token: str) -> tuple[list[UpstreamModel], str]:
        path = marked(f"{self._place.listing}?pageSize=1000", "pageToken", token)
        return await self.get(path, MAX_LIST_BYTES, read_page)

    async def _ask(self, path: str, body: bytes, read: Callable[[bytes], T], limit: int) -> T:
        headers = await self.headers("POST", path, body)
        async with self.upstream.post(path, body, headers=headers) as response:
            return await self.upstream.read(response, read, limit)
