"""Converse over HTTP, signed or with a bearer token."""

import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Final, TypeVar

from llmproxy_grpc.aside import aside
from llmproxy_grpc.errors import CapabilityNotSupported, ModelNotFound, UnsupportedParameter
from llmproxy_grpc.messages import ChatRequest, EmbedRequest, EmbedResponse, ProviderResponse
from llmproxy_grpc.providers.aws_credentials import Keys
from llmproxy_grpc.providers.converse.embed_layouts import layout_of
from llmproxy_grpc.providers.converse.embeddings import encode_embed, read_embed
from llmproxy_grpc.providers.converse.features import adapt_converse, features_of
from llmproxy_grpc.providers.converse.makers import NAMES, base_id
from llmproxy_grpc.providers.converse.models import InferenceProfile, listed, read_models, read_profiles
from llmproxy_grpc.providers.converse.request import encode_count, encode_request
from llmproxy_grpc.providers.converse.response import read_answer
from llmproxy_grpc.providers.converse.shapes import COUNTED
from llmproxy_grpc.providers.converse.stream import FrameDecoder
from llmproxy_grpc.providers.counts import prompt_tokens
from llmproxy_grpc.providers.eventstream import Frame, FrameReader
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http_chat import HttpChat, Reply
from llmproxy_grpc.providers.jsonio import decode
from llmproxy_grpc.providers.listing import all_pages, marked
from llmproxy_grpc.providers.provider import Adapted, UpstreamModel
from llmproxy_grpc.providers.sigv4 import Signer
from llmproxy_grpc.providers.upstream import JSON, MAX_COUNT_BYTES, MAX_LIST_BYTES, Upstream, segment, unread
from llmproxy_grpc.providers.writing import written

_LONG: Final = 256 * 1024
"""Bytes from which on a body is signed aside: that takes some milliseconds for each mebibyte."""
_UNCOUNTED: Final = "Bedrock does not count the tokens of this model."

_read_count: Final = partial(decode, decoder=COUNTED)

T = TypeVar("T")


class Converse(HttpChat[Frame]):
    """Speaks with Bedrock in one region.

    Args:
        upstream: Where models answer.
        control: Where they are listed.
        signer: Signs requests; not used without keys.
        keys: Whose signature it is; None where the upstream's headers hold a bearer token.
        now: The wall clock, in seconds since 1970.
    """

    def __init__(
        self,
        upstream: Upstream,
        control: Upstream,
        *,
        signer: Signer,
        keys: Keys | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(upstream)
        self._control = control
        self._signer = signer
        self._keys = keys
        self._now = now

    def features(self, model: str) -> Features:
        """What a model can do."""
        return features_of(model)

    def adapt(self, request: ChatRequest, model: str) -> Adapted:
        """Leaves out what a model cannot honour, and keeps to the rules that fields have with each other."""
        return adapt_converse(request, model)

    def path(self, model: str, *, stream: bool) -> str:
        """Where a model answers."""
        return _path(model, "converse-stream" if stream else "converse")

    def encode(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:  # noqa: ARG002 - the path says it
        """Writes an adapted request."""
        return encode_request(request, model)

    def read(self, data: bytes, reply: Reply) -> ProviderResponse:
        """Reads an answer in one piece."""
        return read_answer(data, reply)

    def framing(self) -> FrameReader:
        """Events come in binary frames."""
        return FrameReader()

    def decoder(self, reply: Reply) -> FrameDecoder:
        """Reads the frames of one stream."""
        return FrameDecoder(reply)

    async def headers(self, method: str, path: str, body: bytes) -> Mapping[str, str] | None:
        """The signature of one request to where models answer."""
        return await self._signed(self.upstream, method, path, body)

    async def embed(self, request: EmbedRequest, model: str) -> EmbedResponse:
        """Turns inputs into vectors; raises as every provider does."""
        layout = layout_of(model)
        if layout is None:
            raise CapabilityNotSupported("This model makes no vectors.")
        path, body = _path(model, "invoke"), await written(encode_embed, request, layout, NAMES)
        async with self.upstream.post(path, body, headers=await self.headers("POST", path, body)) as response:
            counted = response.headers.get("x-amzn-bedrock-input-token-count", "")
            failed = self.upstream.failed(response)
            read = partial(read_embed, request=request, layout=layout, counted=counted, failed=failed)
            return await self.upstream.read(response, read)

    async def count_tokens(self, request: ChatRequest, model: str) -> int:
        """Counts the tokens of a prompt; raises as every provider does."""
        if not self.features(model).count_tokens:
            raise CapabilityNotSupported(_UNCOUNTED)
        path, body = _path(base_id(model), "count-tokens"), await written(encode_count, request, model)
        async with self.upstream.post(path, body, headers=await self.headers("POST", path, body)) as response:
            try:
                return prompt_tokens((await self.upstream.read(response, _read_count, MAX_COUNT_BYTES)).inputTokens)
            except (ModelNotFound, UnsupportedParameter) as error:
                raise CapabilityNotSupported(
                    "Bedrock does not count this model's tokens.", fault=error.fault
                ) from error

    async def list_models(self) -> list[UpstreamModel]:
        """Lists the models of the region, and the inference profiles, by which many of them have to be called."""
        models = await self._get("/foundation-models", read_models)
        return list(listed(models, await all_pages(self._profiles)))

    async def probe(self) -> None:
        """Raises a ProxyError unless Bedrock answers well."""
        await self._get("/inference-profiles?maxResults=1", unread)

    async def _profiles(self, token: str) -> tuple[list[InferenceProfile], str]:
        return await self._get(marked("/inference-profiles?maxResults=1000", "nextToken", token), read_profiles)

    async def _get(self, path: str, read: Callable[[bytes], T]) -> T:
        headers = await self._signed(self._control, "GET", path, b"")
        return await self._control.get(path, MAX_LIST_BYTES, read, headers=headers)

    async def _signed(self, upstream: Upstream, method: str, path: str, body: bytes) -> Mapping[str, str] | None:
        if self._keys is None:
            return None
        headers = {"content-type": JSON} if method == "POST" else {}
        url, keys, now = f"{upstream.base_url}{path}", await self._keys(), self._now()
        if len(body) >= _LONG:
            return await aside(self._signer.sign, method, url, body, keys=keys, now=now, headers=headers)
        return self._signer.sign(method, url, body, keys=keys, now=now, headers=headers)


@lru_cache(maxsize=1024)  # callers choose the names
def _path(model: str, deed: str) -> str:
    """Where a model does something; ids are full of colons, and those of profiles of slashes."""
    return f"/model/{segment(model)}/{deed}"
