"""An answer, from protobuf: of an upstream that speaks our own API, and may be newer than this version or odd."""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from math import isfinite
from typing import Final

from google.protobuf.struct_pb2 import Struct

from llmproxy_grpc import messages
from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc._gen.v1 import generation_pb2
from llmproxy_grpc.messages import (
    Candidate,
    Cost,
    FinishReason,
    JsonObject,
    Modality,
    ModalityTokens,
    ProviderResponse,
    TokenLogprob,
    Usage,
    UsageSource,
    is_currency,
)
from llmproxy_grpc.wire.content_reading import to_message
from llmproxy_grpc.wire.structs import to_json

_MOST_NANOS: Final = 10**18
"""A billion units: no call costs more, not even in the smallest currency."""
_MOST_MODALITIES: Final = 16
"""More than there are; trailers, which must be short, carry them all."""
_FINISHES = {reason.value: reason for reason in FinishReason}
_MODALITIES = {modality.value: modality for modality in Modality}
_SOURCES = {source.value: source for source in UsageSource}


def to_response(response: pb.ChatResponse) -> ProviderResponse:
    """Gives an answer; its id, its model and its route are left to the caller, who knows what they are worth."""
    return ProviderResponse(
        candidates=to_candidates(response.candidates),
        usage=to_usage(response.usage) if response.HasField("usage") else None,
        warnings=to_warnings(response.warnings),
        relayed_metadata=to_metadata(response.provider_metadata),
    )


def to_candidates(candidates: Iterable[pb.Candidate]) -> tuple[Candidate, ...]:
    """Gives the candidates of an answer."""
    return tuple([_to_candidate(candidate) for candidate in candidates])


def to_finish_reason(number: int) -> FinishReason:
    """Gives the reason of a number; one that this version does not know is OTHER, as the API wants it."""
    return _FINISHES.get(number, FinishReason.OTHER)


def to_usage(usage: generation_pb2.Usage) -> Usage:
    """Gives tokens and cost; negative numbers of tokens count as none, and a cost that cannot be is left out."""
    return Usage(
        input_tokens=max(0, usage.input_tokens),
        output_tokens=max(0, usage.output_tokens),
        total_tokens=max(0, usage.total_tokens),
        cached_input_tokens=max(0, usage.cached_input_tokens),
        cache_write_input_tokens=max(0, usage.cache_write_input_tokens),
        reasoning_tokens=max(0, usage.reasoning_tokens),
        modality_tokens=_to_modality_tokens(usage.modality_tokens) if usage.modality_tokens else (),
        cost=_to_cost(usage.cost) if usage.HasField("cost") else None,
        source=_SOURCES.get(usage.source, UsageSource.UNSPECIFIED),
    )


def to_warnings(warnings: Iterable[pb.Warning]) -> tuple[messages.Warning, ...]:
    """Gives warnings."""
    return tuple([to_warning(warning) for warning in warnings])


def to_warning(warning: pb.Warning) -> messages.Warning:
    """Gives a warning."""
    return messages.Warning(warning.code, warning.field, warning.message)


def to_logprobs(logprobs: Iterable[generation_pb2.TokenLogprob]) -> tuple[TokenLogprob, ...]:
    """Gives log probabilities; what is none is left out, as of other providers: JSON, for one, has no infinity."""
    return tuple(
        [
            TokenLogprob(each.token, each.logprob, each.token_bytes, to_logprobs(each.top))
            for each in logprobs
            if isfinite(each.logprob)
        ]
    )


def to_metadata(metadata: MutableMapping[str, Struct]) -> Mapping[str, JsonObject]:
    """Gives what providers said beyond the API, by kind."""
    return {kind: to_json(struct) for kind, struct in metadata.items()} if metadata else {}


def _to_cost(cost: generation_pb2.Cost) -> Cost | None:
    currency, nanos = cost.currency_code, cost.amount_nanos
    return Cost(currency, nanos) if 0 <= nanos <= _MOST_NANOS and is_currency(currency) else None


def _to_candidate(candidate: pb.Candidate) -> Candidate:
    return Candidate(
        index=candidate.index,
        message=to_message(candidate.message),
        finish_reason=to_finish_reason(candidate.finish_reason),
        raw_finish_reason=candidate.raw_finish_reason,
        matched_stop_sequence=candidate.matched_stop_sequence,
        logprobs=to_logprobs(candidate.logprobs) if candidate.logprobs else (),
    )


def _to_modality_tokens(tokens: Sequence[generation_pb2.ModalityTokens]) -> tuple[ModalityTokens, ...]:
    return tuple(
        [
            ModalityTokens(_MODALITIES[each.modality], max(0, each.input_tokens), max(0, each.output_tokens))
            for each in tokens[:_MOST_MODALITIES]
            if each.modality in _MODALITIES
        ]
    )
