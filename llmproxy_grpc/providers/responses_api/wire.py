"""The Responses API over HTTP."""

from collections.abc import Sequence

from msgspec.structs import replace

from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http_chat import HttpChat, Reply
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.providers.responses_api.features import features_of
from llmproxy_grpc.providers.responses_api.request import encode_count, encode_request
from llmproxy_grpc.providers.responses_api.shapes import COUNTED
from llmproxy_grpc.providers.responses_api.stream import EventDecoder, read_answer
from llmproxy_grpc.providers.sse import ServerSentEvent, SseReader
from llmproxy_grpc.providers.upstream import Upstream

_MAX_COUNT_BYTES = 65536


class ResponsesApi(HttpChat[ServerSentEvent]):
    """Speaks with one upstream.

    Args:
        upstream: Whom to speak to.
        names: Whose options, tools and opaque parts are meant for it: the kind, then the vendor, which wins.
        rest: Asks for what is no conversation: vectors and lists of models are where they always were.
    """

    def __init__(self, upstream: Upstream, names: tuple[str, ...], rest: HttpChat[ServerSentEvent]) -> None:
        super().__init__(upstream)
        self._names = names
        self._features = features_of(names)
        self._rest = rest

    def features(self, model: str) -> Features:
        """What the upstream can do with a model; the API refuses by itself what one cannot."""
        return replace(self._features, embed=self._rest.features(model).embed)

    async def embed(self, request: EmbedRequest, model: str) -> EmbedResponse:
        """Turns inputs into vectors."""
        return await self._rest.embed(request, model)

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the upstream's models."""
        return await self._rest.list_models()

    async def probe(self) -> None:
        """Raises a ProxyError unless the upstream answers well."""
        await self._rest.probe()

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the body says both
        """Where models answer."""
        return "/responses"

    def encode(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """Writes an adapted request."""
        return encode_request(request, model, self._names, stream=stream)

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
        path, body = "/responses/input_tokens", encode_count(request, model)
        headers = await self.headers("POST", path, body)
        async with self.upstream.post(path, body, headers=headers) as response:
            return decode(await self.upstream.body(response, _MAX_COUNT_BYTES), COUNTED).input_tokens
