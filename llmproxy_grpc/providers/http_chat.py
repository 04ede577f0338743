"""A conversation over HTTP, as every kind has it: one request, and an answer in one piece or as a stream of frames.

A wire says where a model answers, how a request is written, and how answers and frames are read.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from copy import copy
from functools import partial
from secrets import token_hex
from typing import Generic, Self, TypeVar

from msgspec import Struct

from llmproxy_grpc.errors import CapabilityNotSupported, ProxyError, UpstreamProtocolError
from llmproxy_grpc.messages import (
    ChatRequest,
    EmbedRequest,
    EmbedResponse,
    ProviderResponse,
    StreamEvent,
    UpstreamStart,
)
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.complaint import request_id
from llmproxy_grpc.providers.events import events_of
from llmproxy_grpc.providers.extent import check_answer
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http import HttpResponse
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.streaming import Frame, Framing, StreamDecoder, StreamReader
from llmproxy_grpc.providers.upstream import JSON, Upstream
from llmproxy_grpc.providers.writing import written

T = TypeVar("T")


class Reply(Struct, frozen=True):
    """What an answer answers, and what its head says.

    Attributes:
        request: The request, adapted.
        model: The upstream model.
        request_id: The provider's own id of the request; empty if its headers have none.
        failed: Makes the error that a document is, whole or a frame, which came behind the status 200.
        new_id: Makes an id for a tool call to which the provider gives none.
    """

    request: ChatRequest
    model: str
    request_id: str
    failed: Callable[[bytes], ProxyError]
    new_id: Callable[[], str]


class HttpChat(ABC, Generic[Frame]):
    """Speaks with one upstream.

    Args:
        upstream: Whom to speak to.
        tail_seconds: How long a stream whose answer is whole is read on for its last counts.
        new_id: Makes ids for tool calls that have none.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        tail_seconds: float = 2.0,
        new_id: Callable[[], str] = lambda: f"call_{token_hex(12)}",
    ) -> None:
        self.upstream = upstream
        self._tail_seconds = tail_seconds
        self._new_id = new_id

    def by_credential(self) -> Sequence[Self]:
        """The same, once for each credential of the upstream."""
        return [self.speaking_to(upstream) for upstream in self.upstream.by_credential()]

    def speaking_to(self, upstream: Upstream) -> Self:
        """The same, but for whom it speaks to."""
        other = copy(self)
        other.upstream = upstream
        return other

    @abstractmethod
    def features(self, model: str) -> Features:
        """What the upstream can do with a model."""

    @abstractmethod
    def path(self, model: str, *, stream: bool) -> str:
        """Where a model answers, below the upstream's address."""

    @abstractmethod
    def encode(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """Writes an adapted request."""

    @abstractmethod
    def read(self, data: bytes, reply: Reply) -> ProviderResponse:
        """Reads an answer in one piece; a long one aside, so without the event loop and context variables.

        Raises:
            UpstreamProtocolError: It is none.
            ProxyError: It is an error of the provider.
        """

    @abstractmethod
    def framing(self) -> Framing[Frame]:
        """Makes what cuts a stream into frames."""

    @abstractmethod
    def decoder(self, reply: Reply) -> StreamDecoder[Frame]:
        """Makes what reads the frames of a stream."""

    async def headers(self, method: str, path: str, body: bytes) -> Mapping[str, str] | None:  # noqa: ARG002 - for signatures
        """Makes the headers of one request: a token that expires, if there is one; a wire may sign instead."""
        token = self.upstream.token
        return None if token is None else {"authorization": f"Bearer {await token.get()}"}

    async def get(self, path: str, limit: int, read: Callable[[bytes], T]) -> T:
        """Asks for a document of at most `limit` bytes and reads it, as `Upstream.get`."""
        return await self.upstream.get(path, limit, read, headers=await self.headers("GET", path, b""))

    @abstractmethod
    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the upstream's models; none if it has no list."""

    @abstractmethod
    async def probe(self) -> None:
        """Raises a ProxyError unless the upstream answers well."""

    async def embed(self, request: EmbedRequest, model: str) -> EmbedResponse:  # noqa: ARG002 - for those who override it
        """Turns inputs into vectors; raises as every provider does."""
        raise CapabilityNotSupported("This provider makes no vectors.")

    async def count_tokens(self, request: ChatRequest, model: str) -> int:  # noqa: ARG002 - as above
        """Counts the tokens of a prompt; raises as every provider does."""
        raise CapabilityNotSupported("This provider counts no tokens.")

    def adapt(self, request: ChatRequest, model: str) -> Adapted:
        """Leaves out the set fields that this upstream cannot honour for a model."""
        return adapt(request, self.features(model))

    async def chat(self, request: ChatRequest, model: str) -> ProviderResponse:
        """Answers a conversation in one piece; raises as every provider does."""
        path, body = self.path(model, stream=False), await written(self.encode, request, model, stream=False)
        headers = await self.headers("POST", path, body)
        async with self.upstream.post(path, body, headers=headers) as response:
            return await self._read_whole(response, self._reply(response, request, model))

    async def stream(self, request: ChatRequest, model: str) -> AsyncGenerator[list[StreamEvent], None]:
        """Answers a conversation as a stream, as every provider does."""
        path, body = self.path(model, stream=True), await written(self.encode, request, model, stream=True)
        headers = await self.headers("POST", path, body)
        async with self.upstream.post(path, body, headers=headers) as response:
            if response.status != 200:
                raise await self.upstream.failure(response)
            reply = self._reply(response, request, model)
            yield [UpstreamStart(reply.request_id)]
            if response.content_type == JSON:
                yield events_of(await self._read_whole(response, reply))
                return
            if response.content_type == "text/html":
                raise UpstreamProtocolError("The provider answered with a web page.")
            reader = StreamReader(response, self.framing(), self.decoder(reply), tail_seconds=self._tail_seconds)
            while batch := await reader.read():
                yield batch

    async def _read_whole(self, response: HttpResponse, reply: Reply) -> ProviderResponse:
        return await self.upstream.read(response, partial(self._answer, reply))

    def _answer(self, reply: Reply, document: bytes) -> ProviderResponse:
        answer = self.read(document, reply)
        check_answer(answer)
        return answer

    def _reply(self, response: HttpResponse, request: ChatRequest, model: str) -> Reply:
        return Reply(request, model, request_id(response.headers), self.upstream.failed(response), self._new_id)
