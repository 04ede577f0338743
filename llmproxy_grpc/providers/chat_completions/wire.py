"""Chat Completions over HTTP: what a kind composes to become a provider."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import cycle
from secrets import token_hex

from msgspec import Struct

from llmproxy_grpc.errors import ProxyError, UpstreamProtocolError, UpstreamStreamBroken
from llmproxy_grpc.messages import ChatRequest, ProviderResponse, StreamEvent, UpstreamStart
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.chat_completions.features import features_of
from llmproxy_grpc.providers.chat_completions.in_band import in_band_error
from llmproxy_grpc.providers.chat_completions.models import read_models
from llmproxy_grpc.providers.chat_completions.quirks import Quirks
from llmproxy_grpc.providers.chat_completions.reader import StreamReader
from llmproxy_grpc.providers.chat_completions.request import RequestEncoder
from llmproxy_grpc.providers.chat_completions.response import ResponseReader, events_of
from llmproxy_grpc.providers.chat_completions.shapes import ANSWER
from llmproxy_grpc.providers.chat_completions.stream import Expectation, StreamDecoder
from llmproxy_grpc.providers.complaint import request_id
from llmproxy_grpc.providers.failures import failure
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http import Endpoint, HttpClient, HttpResponse
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_LIST_BYTES = 8 * 1024 * 1024
_MAX_ERROR_BYTES = 65536
_JSON = "application/json"
_SHORTEST_SECRET = 8
"""Shorter values of headers are flags and names, and words of any message."""


class Upstream(Struct, frozen=True, kw_only=True):
    """One upstream that speaks Chat Completions."""

    base_url: str
    """Its address up to and without `/chat/completions`."""
    quirks: Quirks
    provider_kinds: tuple[str, ...] = ("openai",)
    """Whose options, tools and opaque parts are meant for it: the kind, then the vendor, which wins."""
    probe_path: str = "/models"
    """What to ask for, below the address, to see whether it answers."""
    lists_models: bool = True


class ChatCompletions:
    """Speaks to one upstream.

    Args:
        http: Where connections come from; closing it is its owner's business.
        upstream: Whom to speak to.
        headers: Constant headers of every request; several sets take turns, so that several keys share the load.
        tail_seconds: How long a stream whose candidates have all ended is read on for its usage.
        new_id: Makes ids for tool calls that have none.
        now: The wall clock, for waits that a provider names as a date.
    """

    def __init__(
        self,
        http: HttpClient,
        upstream: Upstream,
        *,
        headers: Sequence[Mapping[str, str]] = ({},),
        tail_seconds: float = 2.0,
        new_id: Callable[[], str] = lambda: f"call_{token_hex(12)}",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        address = upstream.base_url.rstrip("/")
        posting = [{"content-type": _JSON, **fields} for fields in headers]
        self._chat = cycle([http.endpoint("POST", f"{address}/chat/completions", headers=each) for each in posting])
        self._models = cycle([http.endpoint("GET", f"{address}/models", headers=each) for each in headers])
        self._probe = cycle([http.endpoint("GET", f"{address}{upstream.probe_path}", headers=each) for each in headers])
        self._upstream = upstream
        self._encoder = RequestEncoder(upstream.quirks, upstream.provider_kinds)
        self._features = features_of(upstream.quirks, upstream.provider_kinds)
        self._tail_seconds = tail_seconds
        self._new_id = new_id
        self._now = now
        self._secrets = _secrets(headers)

    def features(self, model: str) -> Features:  # noqa: ARG002 - vendors differ, not yet models
        """What this upstream can do with a model."""
        return self._features

    def adapt(self, request: ChatRequest, model: str) -> Adapted:
        """Leaves out the set fields that this upstream cannot honour for a model."""
        return adapt(request, self.features(model))

    async def chat(self, request: ChatRequest, model: str) -> ProviderResponse:
        """Answers a conversation in one piece; raises as every provider does."""
        body = self._encoder.encode(request, model, stream=False)
        async with next(self._chat).send(body) as response:
            return await self._read_answer(response, request, model)

    async def stream(self, request: ChatRequest, model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers a conversation as a stream, as every provider does."""
        body = self._encoder.encode(request, model, stream=True)
        async with next(self._chat).send(body) as response:
            if response.status != 200:
                raise await self._failure(response)
            content_type = response.content_type
            yield (UpstreamStart(request_id(response.headers)),)
            if content_type == _JSON:
                yield events_of(await self._read_answer(response, request, model))
                return
            if content_type == "text/html":
                raise _not_an_answer()
            reader = StreamReader(response, self._decoder(request, model, response), tail_seconds=self._tail_seconds)
            while batch := await reader.read():
                yield batch

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Lists the upstream's models; none if it has no list."""
        if not self._upstream.lists_models:
            return ()
        return read_models(await self._get(next(self._models)))

    async def probe(self) -> None:
        """Raises a ProxyError unless the upstream answers well."""
        await self._get(next(self._probe), missing_ok=not self._upstream.lists_models)

    async def _get(self, endpoint: Endpoint, *, missing_ok: bool = False) -> bytes:
        async with endpoint.send() as response:
            if response.status == 404 and missing_ok:
                return b""
            if response.status != 200:
                raise await self._failure(response)
            try:
                return await response.read(MAX_LIST_BYTES)
            except UpstreamStreamBroken as error:
                raise _cut() from error

    async def _read_answer(self, response: HttpResponse, request: ChatRequest, model: str) -> ProviderResponse:
        if response.status != 200:
            raise await self._failure(response)
        try:
            # Some keep the connection alive by blank lines before the JSON, which its decoder skips.
            data = await response.read(MAX_ANSWER_BYTES)
        except UpstreamStreamBroken as error:
            raise _cut() from error
        answer = decode(data, ANSWER)
        complaint = in_band_error(answer, data)
        if complaint is not None:
            raise failure(200, response.headers, complaint, now=self._now(), secrets=self._secrets)
        reader = ResponseReader(new_id=self._new_id, show_thinking=_shows_thinking(request))
        return reader.read(answer, model=model, request_id=request_id(response.headers))

    async def _failure(self, response: HttpResponse) -> ProxyError:
        """The error that a status other than 200 is, even if its body cannot be read."""
        try:
            body = await response.read(_MAX_ERROR_BYTES)
        except ProxyError:
            body = b""
        return failure(response.status, response.headers, body, now=self._now(), secrets=self._secrets)

    def _decoder(self, request: ChatRequest, model: str, response: HttpResponse) -> StreamDecoder:
        expectation = Expectation(
            model=model,
            candidates=(request.generation.candidate_count or 1) if self._upstream.quirks.n else 1,
            show_thinking=_shows_thinking(request),
        )
        return StreamDecoder(
            expectation, new_id=self._new_id, headers=response.headers, now=self._now, secrets=self._secrets
        )


def _secrets(headers: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """What must not come back to callers: the headers' values, without a scheme before them; the longest first."""
    words = {value.rpartition(" ")[2] for fields in headers for value in fields.values()}
    return tuple(sorted((word for word in words if len(word) >= _SHORTEST_SECRET), key=len, reverse=True))


def _shows_thinking(request: ChatRequest) -> bool:
    reasoning = request.generation.reasoning
    return reasoning is None or reasoning.include is not False


def _not_an_answer() -> UpstreamProtocolError:
    return UpstreamProtocolError("The provider answered with a web page.")


def _cut() -> UpstreamProtocolError:
    return UpstreamProtocolError("The provider's answer was cut off.")
