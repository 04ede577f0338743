"""Cohere's API of version 2 over HTTP."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from llmproxy_grpc.errors import CapabilityNotSupported
from llmproxy_grpc.messages import Capability, ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse, Usage
from llmproxy_grpc.providers.cohere_chat.features import adapt_chat, features_of
from llmproxy_grpc.providers.cohere_chat.request import encode_embed, encode_request
from llmproxy_grpc.providers.cohere_chat.shapes import MODELS, VECTORS, ListedModel
from llmproxy_grpc.providers.cohere_chat.stream import EventDecoder, read_answer
from llmproxy_grpc.providers.counts import clipped, count
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http_chat import HttpChat, Reply
from llmproxy_grpc.providers.jsonio import decode, joined
from llmproxy_grpc.providers.listing import all_pages, marked
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.sse import ServerSentEvent, SseReader
from llmproxy_grpc.providers.upstream import MAX_LIST_BYTES, unread
from llmproxy_grpc.providers.vectors import read_vectors
from llmproxy_grpc.providers.writing import written

_read_page: Final = partial(decode, decoder=MODELS)


class CohereChat(HttpChat[ServerSentEvent]):
    """Speaks with one upstream."""

    def features(self, model: str) -> Features:
        """What a model can do."""
        return features_of(model)

    def adapt(self, request: ChatRequest, model: str) -> Adapted:
        """Leaves out the set fields that this upstream cannot honour for a model."""
        return adapt_chat(request, model)

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the body says both
        """Where models answer."""
        return "/v2/chat"

    def encode(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """Writes an adapted request."""
        return encode_request(request, model, stream=stream)

    def read(self, data: bytes, reply: Reply) -> ProviderResponse:
        """Reads an answer in one piece."""
        return read_answer(data, reply)

    def framing(self) -> SseReader:
        """Events come as server-sent events."""
        return SseReader()

    def decoder(self, reply: Reply) -> EventDecoder:
        """Reads the events of one stream."""
        return EventDecoder(reply)

    async def embed(self, request: EmbedRequest, model: str) -> EmbedResponse:
        """Turns inputs into vectors; raises as every provider does."""
        if self.features(model).embed is None:
            raise CapabilityNotSupported("This model makes no vectors.")
        async with self.upstream.post("/v2/embed", await written(encode_embed, request, model)) as response:
            return await self.upstream.read(response, partial(_read_embed, request))

    async def list_models(self) -> list[UpstreamModel]:
        """Lists the models, page by page."""
        return await all_pages(self._page)

    async def probe(self) -> None:
        """Raises a ProxyError unless the upstream answers well."""
        await self.upstream.get("/v1/models?page_size=1", MAX_LIST_BYTES, unread)

    async def _page(self, token: str) -> tuple[list[UpstreamModel], str]:
        path = marked("/v1/models?page_size=1000", "page_token", token)
        page = await self.upstream.get(path, MAX_LIST_BYTES, _read_page)
        return list(_models(page.models)), page.next_page_token or ""


def _read_embed(request: EmbedRequest, document: bytes) -> EmbedResponse:
    answer = decode(document, VECTORS)
    sent = answer.embeddings.float or []
    vectors = read_vectors(sent, inputs=len(request.inputs), dimensions=request.dimensions)
    billed = answer.meta.get("billed_units") if isinstance(answer.meta, dict) else None
    tokens = count(billed, "input_tokens") if isinstance(billed, dict) else 0
    return EmbedResponse(vectors, Usage(tokens, 0, tokens) if tokens else None)


def _models(listed: list[ListedModel]) -> Iterator[UpstreamModel]:
    for entry in listed:
        if isinstance(entry.name, str) and entry.name:
            yield UpstreamModel(joined(entry.name), clipped(entry.context_length), capabilities=_capabilities(entry))


def _capabilities(entry: ListedModel) -> frozenset[Capability] | None:
    if not isinstance(entry.endpoints, list):
        return None
    told = [*entry.endpoints, *(entry.features if isinstance(entry.features, list) else ())]
    words = {
        "chat": Capability.CHAT,
        "embed": Capability.EMBED,
        "tools": Capability.TOOLS,
        "json_schema": Capability.JSON_SCHEMA,
        "reasoning": Capability.REASONING,
    }
    return frozenset(capability for word, capability in words.items() if word in told)
