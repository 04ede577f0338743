"""The Messages API over HTTP."""

from functools import partial
from typing import Final

from llmproxy_grpc.messages import ChatRequest, ProviderResponse
from llmproxy_grpc.providers.anthropic_messages.features import adapt_messages, features_of
from llmproxy_grpc.providers.anthropic_messages.models import read_page
from llmproxy_grpc.providers.anthropic_messages.request import encode_count, encode_request
from llmproxy_grpc.providers.anthropic_messages.response import read_answer
from llmproxy_grpc.providers.anthropic_messages.shapes import COUNTED
from llmproxy_grpc.providers.anthropic_messages.stream import EventDecoder
from llmproxy_grpc.providers.counts import prompt_tokens
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http_chat import HttpChat, Reply
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.listing import all_pages, marked
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.sse import ServerSentEvent, SseReader
from llmproxy_grpc.providers.upstream import MAX_COUNT_BYTES, MAX_LIST_BYTES, unread
from llmproxy_grpc.providers.writing import written

_read_count: Final = partial(decode, decoder=COUNTED)


class AnthropicMessages(HttpChat[ServerSentEvent]):
    """Speaks the Messages API with one upstream."""

    def features(self, model: str) -> Features:
        """What a model can do."""
        return features_of(model)

    def adapt(self, request: ChatRequest, model: str) -> Adapted:
        """Leaves out what a model cannot honour, and keeps to the rules that fields have with each other."""
        return adapt_messages(request, model)

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the body says both
        """Where models answer."""
        return "/v1/messages"

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

    async def count_tokens(self, request: ChatRequest, model: str) -> int:
        """Counts the tokens of a prompt; raises as every provider does."""
        body = await written(encode_count, request, model)
        async with self.upstream.post("/v1/messages/count_tokens", body) as response:
            return prompt_tokens((await self.upstream.read(response, _read_count, MAX_COUNT_BYTES)).input_tokens)

    async def list_models(self) -> list[UpstreamModel]:
        """Lists the models, page by page."""
        return await all_pages(self._page)

    async def probe(self) -> None:
        """Raises a ProxyError unless the upstream answers well."""
        await self.upstream.get("/v1/models?limit=1", MAX_LIST_BYTES, unread)

    async def _page(self, last_id: str) -> tuple[list[UpstreamModel], str]:
        path = marked("/v1/models?limit=1000", "after_id", last_id)
        return await self.upstream.get(path, MAX_LIST_BYTES, read_page)
