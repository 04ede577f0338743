"""What every provider can do, whatever its kind."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from llmproxy_grpc.messages import (
    Capability,
    ChatRequest,
    EmbedRequest,
    EmbedResponse,
    Modality,
    Price,
    ProviderResponse,
    StreamEvent,
)
from llmproxy_grpc.providers.features import Features


class Unsupported(Struct, frozen=True):
    """A set field that a provider cannot honour: its path, such as `generation.top_k`, and why.

    An `essential` one cannot be left out, whatever the caller says: there is no vector without its input, nor an answer
    where nothing is asked.
    """

    field: str
    message: str
    essential: bool = False


class Change(Struct, frozen=True):
    """A set field that a provider honours with another value than it has: its path, and what it gets and why.

    One that is `dropped` is not honoured at all, which is no reason to turn to another target.
    """

    field: str
    message: str
    dropped: bool = False


class Adapted(Struct, frozen=True):
    """A request as a provider can honour it, and how it differs from what was asked.

    Attributes:
        request: What the provider gets.
        unsupported: The set fields that were left out: a reason to turn to another target.
        changes: The fields whose values were changed, or that were left out for all that: the caller is warned of them.
        numbers: Of lists from which items were left out, such as `messages[0].parts`, the caller's numbers of the rest.
    """

    request: ChatRequest
    unsupported: tuple[Unsupported, ...] = ()
    changes: tuple[Change, ...] = ()
    numbers: Mapping[str, Sequence[int]] = {}

    def path(self, items: str, number: int) -> str:
        """The caller's path of an item of the request, by the path of its list and its number there."""
        kept = self.numbers.get(items)
        return f"{items}[{number if kept is None else kept[number]}]"

    def numbers_of(self, items: str, kept: Sequence[int]) -> Sequence[int]:
        """The caller's numbers of what is kept of a list, by the numbers there."""
        before = self.numbers.get(items)
        return tuple(kept) if before is None else tuple(before[number] for number in kept)


class UpstreamModel(Struct, frozen=True):
    """A model that a provider lists, under the provider's own name.

    Token limits are 0 if not known. Capabilities and modalities are those that the list does not deny, None where it
    says nothing of them; whatever it says, none are shown that the kind's features lack.
    """

    name: str
    max_input_tokens: int = 0
    max_output_tokens: int = 0
    capabilities: frozenset[Capability] | None = None
    input_modalities: frozenset[Modality] | None = None
    output_modalities: frozenset[Modality] | None = None
    price: Price | None = None
    """What the list says that it costs."""


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

    def features(self, upstream_model: str) -> Features:
        """What it can do with this model."""

    def adapt(self, request: ChatRequest, upstream_model: str) -> Adapted:
        """Gives the request without the set fields that this provider cannot honour for this model, and names those.

        A long conversation is adapted in a thread.
        `chat`, `stream` and `count_tokens` get requests that went through here.
        """

    async def chat(self, request: ChatRequest, upstream_model: str) -> ProviderResponse:
        """Answers a conversation in one piece."""

    def stream(self, request: ChatRequest, upstream_model: str) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Answers a conversation in batches of events: what one read of the connection gave, never empty.

        The first event is UpstreamStart, the last UpstreamEnd; each candidate has one CandidateFinish behind its last
        delta; UsageSoFar may come anywhere between. A stream that ends otherwise raises. Hold the generator with
        `contextlib.aclosing`.
        """

    async def embed(self, request: EmbedRequest, upstream_model: str) -> EmbedResponse:
        """Turns inputs into vectors; CapabilityNotSupported without the feature `embed`.

        It gets requests of the inputs that it takes at once, less what its features do not name.
        """

    async def count_tokens(self, request: ChatRequest, upstream_model: str) -> int:
        """Counts the tokens of a prompt; CapabilityNotSupported without the feature `count_tokens`."""

    async def list_models(self) -> Sequence[UpstreamModel]:
        """Lists the provider's models."""

    async def probe(self) -> None:
        """Checks that the provider answers, without generating a token."""

    async def aclose(self) -> None:
        """Closes what the provider holds open."""


@runtime_checkable
class Rotating(Protocol):
    """What a provider may have besides: several credentials, of which the router chooses one for each attempt.

    So that one which is refused or limited is left alone while the others serve.
    """

    def by_credential(self) -> Sequence[Provider]:
        """The same provider once for each credential, in the configured order; closing it closes them all."""


def by_credential(provider: Provider) -> Sequence[Provider]:
    """A provider once for each of its credentials; one that has no turns to take is there once."""
    return provider.by_credential() if isinstance(provider, Rotating) else (provider,)
