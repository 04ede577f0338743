"""A kind that speaks HTTP: how to build one against an upstream of ours, and what its vendor would answer."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from llmproxy_grpc.config.schema import ProviderConfig
from llmproxy_grpc.messages import ToolCallPart
from llmproxy_grpc.providers import registry
from llmproxy_grpc.providers.http import HttpClient
from llmproxy_grpc.providers.provider import Provider
from tests.fakes.faulty_upstream import Answer, FaultyUpstream, Framing, Request, Step
from tests.providers.specimen import Specimen

Usage = tuple[str, str]
"""Tokens of prompt and answer as raw JSON, so that they may be absurd."""


@dataclass(frozen=True, kw_only=True)
class HttpKind:
    """One kind, in one of the APIs that it speaks."""

    name: str
    """What the tests call it, and the folder of its golden exchanges."""
    kind: str
    model: str = "test-model"
    embed_model: str = ""
    """The model that makes vectors, where that is another."""
    config: Mapping[str, Any] = field(default_factory=lambda: {"api_key": "test-key"})
    """Its configuration, besides name, kind and base_url."""
    base_path: str = ""
    """What its base_url has behind the origin."""
    stream_type: str = "text/event-stream"
    stream_suffix: str = ".sse"
    """Of golden streams."""
    asked: Callable[[Request], str]
    """The last user text in a request."""
    streamed: Callable[[Request], bool] = lambda request: bool(request.json().get("stream"))
    answer: Callable[[str], bytes]
    """The body of an answer in one piece, with five tokens of prompt and seven of answer."""
    stream: Callable[[Sequence[str], Usage | None], list[bytes]]
    """The frames of a complete stream that says these texts, one frame each, and this usage; None for none at all."""
    calls_answer: Callable[[Sequence[ToolCallPart]], bytes]
    """The body of an answer that calls these tools, in parallel."""
    calls_stream: Callable[[Sequence[ToolCallPart]], list[bytes]]
    """The frames of a stream that calls these tools, their arguments in several fragments where the wire has such."""
    arguments_are_objects: bool = False
    """Whether the wire carries arguments as a JSON object, so that their spacing cannot survive."""
    error_frame: bytes
    """A frame with which an overloaded provider breaks off a stream."""
    error_body: bytes | None = None
    """A body behind status 200 that says that the rate is limited; None where no vendor does so."""
    models: Mapping[str, bytes]
    """The bodies of lists of models that have the model in them, by a piece of the path that asks for them."""

    posts: Mapping[str, Callable[[Request], bytes]] = field(default_factory=dict)
    """The bodies of answers to other questions than chats, by a piece of the path that asks."""

    async def provider(self, upstream: FaultyUpstream, http: HttpClient, **config: Any) -> Provider:
        """A provider of this kind that asks an upstream of ours."""
        fields = {"base_url": f"{upstream.url}{self.base_path}", **self.config, **config}
        return registry.build(ProviderConfig(name="specimen", kind=self.kind, **fields), http)

    def streaming(self, body: Sequence[Step], *, chop: int = 0) -> Answer:
        """A streamed answer of these frames."""
        return Answer(headers={"content-type": self.stream_type}, body=body, framing=Framing.CHUNKED, chop=chop)

    def respond(self, request: Request) -> Answer:
        """Answers as a healthy vendor."""
        if request.method == "GET" or not request.body:
            return Answer.json(next((body for piece, body in self.models.items() if piece in request.path), b"{}"))
        other = next((answer for piece, answer in self.posts.items() if piece in request.path), None)
        if other is not None:
            return Answer.json(other(request))
        text = self.asked(request)
        if self.streamed(request):
            return self.streaming(self.stream(text.split(" ") if text else [text], ("5", "7")))
        return Answer.json(self.answer("".join(text.split(" "))))

    def specimen(self) -> Specimen:
        """The same as a specimen."""
        return Specimen(self.name, self.kind, self.model, self._open, self.embed_model)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Provider]:
        async with FaultyUpstream() as upstream:
            upstream.handler = self.respond
            http = HttpClient(connect_timeout=1)
            provider = await self.provider(upstream, http)
            yield provider
            await provider.aclose()
            await http.aclose()


def sse(event: Any, name: str = "") -> bytes:
    """One server-sent event of JSON; lone surrogates are escaped, as vendors write them."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
