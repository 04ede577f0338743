"""What may be asked of a provider in one piece, as a table: how each is fitted, sent and estimated."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from llmproxy_grpc.errors import UpstreamProtocolError
from llmproxy_grpc.messages import (
    Capability,
    ChatRequest,
    EmbedRequest,
    EmbedResponse,
    Part,
    ProviderResponse,
    Usage,
    Warning,
)
from llmproxy_grpc.messages.sizes import size_of
from llmproxy_grpc.providers.embed_adaptation import adapt_embed
from llmproxy_grpc.providers.features import EmbedFeatures, Features
from llmproxy_grpc.providers.left_to_answer import with_something_to_answer
from llmproxy_grpc.providers.provider import Change, Provider, Unsupported
from llmproxy_grpc.routing.catalog import Target
from llmproxy_grpc.routing.continuity import opened, sealed_response
from llmproxy_grpc.routing.usage import estimate, estimate_embed, prompt_tokens

Request = TypeVar("Request", bound=ChatRequest | EmbedRequest)
Answer = TypeVar("Answer")

MARGIN: Final = 1.25
"""How much longer a prompt may be than its estimate: code and digits have more tokens than their size tells.

Passing over a target that would have been large enough costs little; trying one that is too small costs the call.
"""

Note = Callable[[ProviderResponse | EmbedResponse, Usage], None]
"""Told of each answer of a provider, and what it used."""


class Fitted(Struct, Generic[Request], frozen=True):
    """A request as one target can honour it, the set fields that this leaves out, and what to tell the caller."""

    request: Request
    unsupported: Sequence[Unsupported] = ()
    warnings: Sequence[Warning] = ()


class Operation(Struct, Generic[Request, Answer], frozen=True, kw_only=True):
    """One kind of request.

    Attributes:
        capability: What a model needs for it.
        deed: What a model with the capability does, for messages.
        offered: Whether a model of these features has the capability.
        fit: Makes the request one that a target can honour.
        ask: Sends a fitted request and waits for the answer, noting what it used.
        estimate: What a fitted request used whose answer is known only by the size of its texts; None for nothing.
        prompt: How many tokens a request has, by an estimate.
        room: How many tokens a target must take at once for a fitted request whose prompt has so many; 0 for any.
        hurried: Whether it is limited more tightly than others, and no target is asked twice: there is another way.
    """

    capability: Capability
    deed: str
    offered: Callable[[Features], object]
    fit: Callable[[Request, Provider, Target], Fitted[Request]]
    ask: Callable[[Request, Provider, Target, Note], Awaitable[Answer]]
    estimate: Callable[[Request, int], Usage | None]
    prompt: Callable[[Request], int]
    room: Callable[[Request, int], int]
    hurried: bool = False


def _fit_chat(request: ChatRequest, provider: Provider, target: Target) -> Fitted[ChatRequest]:
    own = opened(request, target)
    model = target.upstream_model
    adapted = with_something_to_answer(provider.adapt(own.request, model), lambda: provider.features(model).blank)
    if not (own.stripped or adapted.unsupported or adapted.changes):  # nearly always
        return Fitted(adapted.request)
    warnings = (*own.warnings(), *_dropped(adapted.unsupported), *_changed(adapted.changes))
    return Fitted(adapted.request, adapted.unsupported, warnings)


async def _chat(request: ChatRequest, provider: Provider, target: Target, note: Note) -> ProviderResponse:
    answer = await provider.chat(request, target.upstream_model)
    usage = answer.usage
    if usage is None:
        usage = estimate(request, sum(size_of(candidate.message.parts) for candidate in answer.candidates))
    note(answer, usage)
    return sealed_response(answer, target)


def _fit_embed(request: EmbedRequest, provider: Provider, target: Target) -> Fitted[EmbedRequest]:
    adapted, unsupported = adapt_embed(request, provider.features(target.upstream_model))
    return Fitted(adapted, unsupported, tuple(_dropped(unsupported)))


async def _embed(request: EmbedRequest, provider: Provider, target: Target, note: Note) -> EmbedResponse:
    """Sends as many inputs at a time as the provider takes, in order."""
    model = target.upstream_model
    answers = []
    lengths: set[int] = set()
    for piece in _pieces(request, provider.features(model).embed or EmbedFeatures()):
        answer = await provider.embed(piece, model)
        note(answer, answer.usage or estimate_embed(piece))
        answers.append(answer)
        lengths.update(map(len, answer.vectors[:1]))
        if len(lengths) > 1:
            # Behind some gateways another model has taken over, whose vectors mean something else.
            raise UpstreamProtocolError("The provider's vectors do not have the length that they should.")
    if len(answers) == 1:
        return answers[0]
    return EmbedResponse(tuple(vector for answer in answers for vector in answer.vectors))


def _pieces(request: EmbedRequest, features: EmbedFeatures) -> Iterator[EmbedRequest]:
    """Splits the inputs where they become too many or too long; an input that is too long by itself is tried."""
    inputs: list[Part] = []
    size = 0
    for part in request.inputs:
        more = size_of((part,)) if features.most_bytes else 0
        if inputs and (len(inputs) == features.most_inputs or size + more > features.most_bytes > 0):
            yield replace(request, inputs=tuple(inputs))
            inputs, size = [], 0
        inputs.append(part)
        size += more
    yield replace(request, inputs=tuple(inputs))


def _estimate_embed(request: EmbedRequest, _output_size: int) -> Usage:
    return estimate_embed(request)


async def _count(request: ChatRequest, provider: Provider, target: Target, _note: Note) -> int:
    return await provider.count_tokens(request, target.upstream_model)


def _nothing(_request: ChatRequest, _output_size: int) -> None:
    """Counting is free."""


def _room_to_chat(request: ChatRequest, prompt: int) -> int:
    """The prompt, which may have more tokens than its estimate, and the longest answer that is asked for."""
    return int(prompt * MARGIN) + (request.generation.max_output_tokens or 0)


def _embed_tokens(request: EmbedRequest) -> int:
    return estimate_embed(request).input_tokens


def _room_to_embed(request: EmbedRequest, _prompt: int) -> int:
    """The longest input: each has the whole room to itself."""
    longest = max((estimate_embed(replace(request, inputs=(part,))).input_tokens for part in request.inputs), default=0)
    return int(longest * MARGIN)


def _no_room(_request: ChatRequest, _prompt: int) -> int:
    """Counting does not need the room that an answer needs."""
    return 0


def _dropped(unsupported: Iterable[Unsupported]) -> Iterator[Warning]:
    return (Warning("PARAMETER_DROPPED", each.field, each.message) for each in unsupported)


def _changed(changes: Iterable[Change]) -> Iterator[Warning]:
    return (
        Warning("PARAMETER_DROPPED" if each.dropped else "PARAMETER_CHANGED", each.field, each.message)
        for each in changes
    )


CHAT: Final = Operation[ChatRequest, ProviderResponse](
    capability=Capability.CHAT,
    deed="answers conversations",
    offered=attrgetter("chat"),
    fit=_fit_chat,
    ask=_chat,
    estimate=estimate,
    prompt=prompt_tokens,
    room=_room_to_chat,
)
"""A conversation to answer; as a stream it is fitted and estimated the same way."""

EMBED: Final = Operation[EmbedRequest, EmbedResponse](
    capability=Capability.EMBED,
    deed="makes vectors",
    offered=attrgetter("embed"),
    fit=_fit_embed,
    ask=_embed,
    estimate=_estimate_embed,
    prompt=_embed_tokens,
    room=_room_to_embed,
)
"""Inputs to turn into vectors."""

COUNT: Final = Operation[ChatRequest, int](
    capability=Capability.COUNT_TOKENS,
    deed="counts tokens",
    offered=attrgetter("count_tokens"),
    fit=_fit_chat,
    ask=_count,
    estimate=_nothing,
    prompt=prompt_tokens,
    room=_no_room,
    hurried=True,  # an estimate is there at once
)
"""A conversation whose tokens the provider counts."""
