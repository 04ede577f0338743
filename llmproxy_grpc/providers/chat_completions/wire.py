"""Chat Completions over HTTP: what a kind composes to become a provider."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from secrets import token_hex

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.errors import CapabilityNotSupported, ModelNotFound
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse, RefusalPart
from llmproxy_grpc.providers.adaptation import adapt
from llmproxy_grpc.providers.answered_calls import with_results_at_their_calls
from llmproxy_grpc.providers.chat_completions import thinking_chunks
from llmproxy_grpc.providers.chat_completions.caching import MARKED, Kinds, with_possible_marks
from llmproxy_grpc.providers.chat_completions.counting import NOT_THERE, read_count
from llmproxy_grpc.providers.chat_completions.embeddings import embed_failure, encode_embed, read_embed
from llmproxy_grpc.providers.chat_completions.expectation import Expectation
from llmproxy_grpc.providers.chat_completions.features import features_of
from llmproxy_grpc.providers.chat_completions.in_band import in_band_error
from llmproxy_grpc.providers.chat_completions.models import read_page
from llmproxy_grpc.providers.chat_completions.names import with_possible_names
from llmproxy_grpc.providers.chat_completions.quirks import Quirks
from llmproxy_grpc.providers.chat_completions.request import RequestEncoder
from llmproxy_grpc.providers.chat_completions.response import ResponseReader
from llmproxy_grpc.providers.chat_completions.role_order import with_roles_in_order
from llmproxy_grpc.providers.chat_completions.shapes import decode_answer
from llmproxy_grpc.providers.chat_completions.speech import type_of
from llmproxy_grpc.providers.chat_completions.stream import ChunkDecoder
from llmproxy_grpc.providers.complaint import request_id
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http_chat import HttpChat, Reply
from llmproxy_grpc.providers.instructions import with_texts_as_instructions
from llmproxy_grpc.providers.listing import all_pages
from llmproxy_grpc.providers.openai_models import adapt_to_model, features_with
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.sse import ServerSentEvent, SseReader
from llmproxy_grpc.providers.upstream import MAX_LIST_BYTES, Upstream, unread
from llmproxy_grpc.providers.writing import written


class Dialect(Struct, frozen=True, kw_only=True):
    """How one upstream speaks Chat Completions."""

    quirks: Quirks
    names: tuple[str, ...] = ("openai",)
    """Whose options, tools and opaque parts are meant for it: the kind, then the vendor, which wins."""
    chat_path: Callable[[str], str] = lambda _model: "/chat/completions"
    """Where a model answers, below the address."""
    embed_path: Callable[[str], str] = lambda _model: "/embeddings"
    """Where a model makes vectors."""
    models_path: str = "/models"
    """Where the models are listed; empty if they are not."""
    probe_path: str = "/models"
    """What to ask for to see whether it answers."""
    ranges: Mapping[str, tuple[float, float]] = {}
    """The least and the greatest value of settings, where it takes fewer than OpenAI."""
    deployment: str = ""
    """What the upstream calls every model, where it has but one; empty for their own names."""


class ChatCompletions(HttpChat[ServerSentEvent]):
    """Speaks Chat Completions with one upstream.

    Args:
        upstream: Whom to speak to.
        dialect: How.
        tail_seconds: How long a stream whose candidates have all ended is read on for its usage.
        new_id: Makes ids for tool calls that have none.
    """

    def __init__(
        self,
        upstream: Upstream,
        dialect: Dialect,
        *,
        tail_seconds: float = 2.0,
        new_id: Callable[[], str] = lambda: f"call_{token_hex(12)}",
    ) -> None:
        super().__init__(upstream, tail_seconds=tail_seconds, new_id=new_id)
        self._dialect = dialect
        self._encoder = RequestEncoder(dialect.quirks, dialect.names)
        self._features = replace(features_of(dialect.quirks, dialect.names), ranges=dialect.ranges)
        # Without a field of their own, refusals are texts.
        self._said: Kinds = MARKED if dialect.quirks.refusals else (*MARKED, RefusalPart)

    def features(self, model: str) -> Features:
        """What this upstream can do with a model."""
        return features_with(self._features, model) if self._dialect.quirks.openai_models else self._features

    def adapt(self, request: ChatRequest, model: str) -> Adapted:
        """Leaves out the set fields that this upstream cannot honour for a model."""
        if self._dialect.quirks.openai_models:
            adapted = adapt_to_model(request, self._features, model, together=False)
        else:
            adapted = adapt(request, self._features)
        if self._features.message_name:
            adapted = with_possible_names(adapted, openai=self._dialect.quirks.openai_models)
        if not self._dialect.quirks.media_instructions:
            adapted = with_texts_as_instructions(adapted)
        if self._features.cache_hints:
            adapted = with_possible_marks(adapted, prompts=MARKED, answers=self._said)
        if self._dialect.quirks.strict_roles:
            return with_roles_in_order(adapted)
        return with_results_at_their_calls(adapted) if self._dialect.quirks.strict_results else adapted

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the body says whether to stream
        """Where a model answers."""
        return self._dialect.chat_path(self._dialect.deployment or model)

    def encode(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """Writes an adapted request."""
        return self._encoder.encode(request, self._dialect.deployment or model, stream=stream)

    def read(self, data: bytes, reply: Reply) -> ProviderResponse:
        """Reads an answer in one piece."""
        # Some keep the connection alive by blank lines before the JSON, which its decoder skips.
        answer = decode_answer(data)
        complaint = in_band_error(answer, data)
        if complaint is not None:
            raise reply.failed(complaint)
        reader = ResponseReader(self._expectation(reply, stream=False), new_id=reply.new_id)
        return reader.read(answer, request_id=reply.request_id)

    def framing(self) -> SseReader:
        """Chunks come as server-sent events."""
        return SseReader()

    def decoder(self, reply: Reply) -> ChunkDecoder:
        """Reads the chunks of one stream."""
        return ChunkDecoder(self._expectation(reply, stream=True), new_id=reply.new_id, failed=reply.failed)

    async def embed(self, request: EmbedRequest, model: str) -> EmbedResponse:
        """Turns texts into vectors; raises as every provider does."""
        if self.features(model).embed is None:
            raise CapabilityNotSupported("This provider makes no vectors.")
        model = self._dialect.deployment or model
        path = self._dialect.embed_path(model)
        body = await written(encode_embed, request, model, self._dialect.quirks, self._dialect.names)
        headers = await self.headers("POST", path, body)
        async with self.upstream.post(path, body, headers=headers) as response:
            if response.status != 200:
                raise embed_failure(await self.upstream.failure(response))
            named, failed = request_id(response.headers), self.upstream.failed(response)
            read = partial(read_embed, request=request, request_id=named, failed=failed)
            return await self.upstream.read(response, read)

    async def count_tokens(self, request: ChatRequest, model: str) -> int:
        """Counts the tokens of a prompt: of the very request that would be answered; raises as every provider does."""
        path = self._dialect.quirks.count_path
        if not path:
            raise CapabilityNotSupported("This provider counts no tokens.")
        body = await written(self.encode, request, model, stream=False)
        headers = await self.headers("POST", path, body)
        async with self.upstream.post(path, body, headers=headers) as response:
            if response.status in NOT_THERE:
                raise CapabilityNotSupported("This server counts no tokens.")
            return await self.upstream.read(response, read_count)

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the upstream's models, page by page; none if it has no list."""
        return await all_pages(self._page) if self._dialect.models_path else ()

    async def probe(self) -> None:
        """Raises a ProxyError unless the upstream answers well."""
        try:
            await self.get(self._dialect.probe_path, MAX_LIST_BYTES, unread)
        except ModelNotFound:
            # 404: an upstream without a list has nothing small to ask for, and answers all the same.
            if self._dialect.models_path:
                raise

    async def _page(self, query: str) -> tuple[Sequence[UpstreamModel], str]:
        # Only the query of a link counts: whom we ask, and with which key, is not the upstream's to say.
        path = f"{self._dialect.models_path}?{query}" if query else self._dialect.models_path
        return await self.get(path, MAX_LIST_BYTES, read_page)

    def _expectation(self, reply: Reply, *, stream: bool) -> Expectation:
        return Expectation(
            model=reply.model,
            candidates=reply.request.generation.candidate_count or 1,
            counts_candidates=self._dialect.quirks.counts_candidates,
            show_thinking=reply.request.shows_thinking,
            keep_thinking=bool(self._dialect.quirks.reasoning_replay),
            thinking_in_content=self._dialect.quirks.reasoning_replay == thinking_chunks.FIELD,
            pictures=self._dialect.quirks.image_answers,
            audio_type=type_of(reply.request, self._dialect.names, stream=stream),
        )
