"""What every provider can do, whatever its kind."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from llmproxy_grpc.messages import ChatRequest, MediaPart, ProviderResponse, StreamEvent


class Unsupported(Struct, frozen=True):
    """A set field that a provider cannot honour: its path, such as `generation.top_k`, and why."""

    field: str
    message: str


class UpstreamModel(Struct, frozen=True):
    """A model that a provider lists, under the provider's own name; token limits are 0 if not known."""

    name: str
    max_input_tokens: int = 0
    max_output_tokens: int = 0


def unsupported_media(request: ChatRequest, message: str) -> Iterator[Unsupported]:
    """Names every picture, sound, video and document of a request, for providers that read text alone."""
    for at, turn in enumerate(request.messages):
        for place, part in enumerate(turn.parts):
            if isinstance(part, MediaPart):
                yield Unsupported(f"messages[{at}].parts[{place}].{part.kind.name.lower()}", message)


class Provider(Protocol):
    """One configured upstream.

    Every method raises a `ProxyError` for trouble upstream and nothing else, and lets CancelledError through after
    closing what it opened: cancelling the task that waits for a provider closes the connection.
    Time limits other than that of connecting are the router's: it cancels.
    """

    @property
    def name(self) -> str:
        """The configured name."""

    @property
    def kind(self) -> str:
        """Which API it speaks."""

    def unsupported(self, request: ChatRequest, upstream_model: str) -> Sequence[Unsupported]:
        """Lists the set fields that this provider cannot honour for this model; `chat` and `stream` leave them out."""

    async def chat(self, request: ChatRequest, upstream_model: str) -> ProviderResponse:
        """Answers a conversation in one piece."""

    def stream(self, request: ChatRequest, upstream_model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers a conversation in batches of events: what one read of the connection gave, never empty.

        The first event is UpstreamStart, the last UpstreamEnd; each candidate has one CandidateFinish behind its last
        delta; UsageSoFar may come anywhere between. A stream that ends otherwise raises. Hold the generator with
        `contextlib.aclosing`.
        """

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the provider's models."""

    async def probe(self) -> None:
        """Checks that the provider answers, without generating a token."""

    async def aclose(self) -> None:
        """Closes what the provider holds open."""
