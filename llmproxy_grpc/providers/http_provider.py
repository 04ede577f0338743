"""A provider that is nothing but its wire over HTTP, as most kinds are: a kind adds how it is built."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, ClassVar, Self

from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse, StreamEvent
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http_chat import HttpChat
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel


class HttpProvider:
    """One upstream; see `Provider` for what its methods promise.

    Args:
        name: The configured name.
        wire: Speaks to the upstream.
    """

    kind: ClassVar[str]

    def __init__(self, name: str, wire: HttpChat[Any]) -> None:
        self.name = name
        self._wire = wire

    def by_credential(self) -> Sequence[Self]:
        """The same provider once for each of its credentials."""
        return [self.__class__(self.name, wire) for wire in self._wire.by_credential()]

    def features(self, upstream_model: str) -> Features:
        """What a model can do."""
        return self._wire.features(upstream_model)

    def adapt(self, request: ChatRequest, upstream_model: str) -> Adapted:
        """Leaves out the set fields that a model cannot honour."""
        return self._wire.adapt(request, upstream_model)

    async def chat(self, request: ChatRequest, upstream_model: str) -> ProviderResponse:
        """Answers a conversation in one piece."""
        return await self._wire.chat(request, upstream_model)

    def stream(self, request: ChatRequest, upstream_model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers a conversation in batches of events."""
        return self._wire.stream(request, upstream_model)

    async def embed(self, request: EmbedRequest, upstream_model: str) -> EmbedResponse:
        """Turns inputs into vectors, where the vendor does."""
        return await self._wire.embed(request, upstream_model)

    async def count_tokens(self, request: ChatRequest, upstream_model: str) -> int:
        """Counts the tokens of a prompt, where the vendor does."""
        return await self._wire.count_tokens(request, upstream_model)

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the vendor's models."""
        return await self._wire.list_models()

    async def probe(self) -> None:
        """Checks that the vendor answers, without generating a token."""
        await self._wire.probe()

    async def aclose(self) -> None:
        """Does nothing: the connections belong to the HttpClient."""
