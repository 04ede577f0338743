"""Converse over HTTP, signed or with a bearer token."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from llmproxy_grpc.messages import Capability, ChatRequest, Modality, ProviderResponse
from llmproxy_grpc.providers.aws_credentials import Keys
from llmproxy_grpc.providers.converse.features import features_of
from llmproxy_grpc.providers.converse.request import encode_count, encode_request
from llmproxy_grpc.providers.converse.response import read_answer
from llmproxy_grpc.providers.converse.shapes import COUNTED, MODELS, ListedModel
from llmproxy_grpc.providers.converse.stream import FrameDecoder
from llmproxy_grpc.providers.eventstream import Frame, FrameReader
from llmproxy_grpc.providers.features import Features
from llmproxy_grpc.providers.http_chat import HttpChat, Reply
from llmproxy_grpc.providers.jsonio import decode, joined
from llmproxy_grpc.providers.provider import UpstreamModel
from llmproxy_grpc.providers.sigv4 import Signer
from llmproxy_grpc.providers.upstream import JSON, Upstream, segment

_MAX_LIST_BYTES: Final = 8 * 1024 * 1024
_MOST_PAGES: Final = 20
_MODALITIES: Final = {"TEXT": Modality.TEXT, "IMAGE": Modality.IMAGE, "VIDEO": Modality.VIDEO, "SPEECH": Modality.AUDIO}


class Converse(HttpChat[Frame]):
    """Speaks with Bedrock in one region.

    Args:
        upstream: Where models answer.
        control: Where they are listed.
        signer: Signs requests; not used without keys.
        keys: Whose signature it is; None where the upstream's headers hold a bearer token.
        now: The wall clock, with a time zone.
    """

    def __init__(
        self,
        upstream: Upstream,
        control: Upstream,
        *,
        signer: Signer,
        keys: Keys | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(upstream)
        self._control = control
        self._signer = signer
        self._keys = keys
        self._now = now

    def features(self, model: str) -> Features:
        """What a model can do."""
        return features_of(model)

    def path(self, model: str, *, stream: bool) -> str:
        """Where a model answers; ids are full of colons, and those of profiles of slashes."""
        return f"/model/{segment(model)}/{'converse-stream' if stream else 'converse'}"

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

    async def count_tokens(self, request: ChatRequest, model: str) -> int:
        """Counts the tokens of a prompt; raises as every provider does."""
        path, body = f"/model/{segment(model)}/count-tokens", encode_count(request)
        async with self.upstream.post(path, body, headers=await self.headers("POST", path, body)) as response:
            return decode(await self.upstream.body(response, _MAX_LIST_BYTES), COUNTED).inputTokens

    async def list_models(self) -> list[UpstreamModel]:
        """Lists the models of the region, and the inference profiles, by which many of them have to be called."""
        models = list(_models(decode(await self._get("/foundation-models"), MODELS).modelSummaries or []))
        token = ""
        for _ in range(_MOST_PAGES):
            behind = f"&nextToken={quote(token, safe='')}" if token else ""
            page = decode(await self._get(f"/inference-profiles?maxResults=1000{behind}"), MODELS)
            models += _models(page.inferenceProfileSummaries or [])
            token = page.nextToken or ""
            if not token:
                break
        return models

    async def probe(self) -> None:
        """Raises a ProxyError unless Bedrock answers well."""
        await self._get("/inference-profiles?maxResults=1")

    async def _get(self, path: str) -> bytes:
        headers = await self._signed(self._control, "GET", path, b"")
        return await self._control.get(path, _MAX_LIST_BYTES, headers=headers)

    async def _signed(self, upstream: Upstream, method: str, path: str, body: bytes) -> Mapping[str, str] | None:
        if self._keys is None:
            return None
        headers = {"content-type": JSON} if method == "POST" else {}
        url = f"{upstream.base_url}{path}"
        return self._signer.sign(method, url, body, keys=await self._keys(), now=self._now(), headers=headers)


def _models(listed: list[ListedModel]) -> Iterator[UpstreamModel]:
    for entry in listed:
        name = entry.modelId if entry.modelId is not None else entry.inferenceProfileId
        if isinstance(name, str) and name:
            written = _modalities(entry.outputModalities)
            # Models that write vectors or pictures alone answer no conversations.
            capabilities = frozenset[Capability]() if written and Modality.TEXT not in written else None
            yield UpstreamModel(joined(name), 0, 0, capabilities, _modalities(entry.inputModalities), written)


def _modalities(told: Any) -> frozenset[Modality] | None:
    if not isinstance(told, list):
        return None
    return frozenset(_MODALITIES[word] for word in told if word in _MODALITIES) or None
