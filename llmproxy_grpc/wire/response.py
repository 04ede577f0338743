"""An answer, to protobuf: candidates, usage, and how it came about."""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.internal.containers import MessageMap, RepeatedCompositeFieldContainer
from google.protobuf.struct_pb2 import Struct

from llmproxy_grpc import messages
from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc._gen.v1 import error_pb2, generation_pb2
from llmproxy_grpc.calls import Attempt, Call
from llmproxy_grpc.errors import ProxyError
from llmproxy_grpc.messages import Candidate, ProviderResponse, TokenLogprob, UpstreamEnd, Usage
from llmproxy_grpc.wire.content_writing import fill_message
from llmproxy_grpc.wire.scalars import count, fill_duration, fill_time, int64, mending, number
from llmproxy_grpc.wire.structs import fill_struct

Describe = Callable[[ProxyError], tuple[int, Any]]
"""Gives an error's gRPC code and its ErrorReason, as numbers."""


@mending
def from_response(response: ProviderResponse, call: Call, *, describe: Describe) -> pb.ChatResponse:
    """Gives the answer to a call.

    Args:
        response: What the provider answered.
        call: The call as the router has left it: its provider, all its attempts and its warnings. Its usage, which
            knows the cost, goes before the response's; the provider's metadata stand under its kind, and without one
            they are left out.
        describe: Code and reason of the attempts that failed.
    """
    target = pb.ChatResponse(id=call.id, model=call.model)
    for candidate in response.candidates:
        fill_candidate(target.candidates.add(), candidate)
    usage = call.usage or response.usage
    if usage is not None:
        fill_usage(target.usage, usage)
    fill_time(target.create_time, call.create_time)
    fill_route(target.route, call, describe=describe)
    if call.warnings:
        fill_warnings(target.warnings, call.warnings)
    fill_metadata(target.provider_metadata, call, response)
    return target


@mending
def from_usage(usage: Usage) -> generation_pb2.Usage:
    """Gives tokens and cost as protobuf."""
    target = generation_pb2.Usage()
    fill_usage(target, usage)
    return target


@mending
def from_attempt(attempt: Attempt, *, describe: Describe) -> error_pb2.Attempt:
    """Gives one try as protobuf."""
    target = error_pb2.Attempt()
    _fill_attempt(target, attempt, describe)
    return target


def fill_usage(target: generation_pb2.Usage, usage: Usage) -> None:
    """Writes tokens and cost in place."""
    target.input_tokens = count(usage.input_tokens)
    target.output_tokens = count(usage.output_tokens)
    target.total_tokens = count(usage.total_tokens)
    target.source = number(usage.source)
    if usage.cached_input_tokens:
        target.cached_input_tokens = count(usage.cached_input_tokens)
    if usage.cache_write_input_tokens:
        target.cache_write_input_tokens = count(usage.cache_write_input_tokens)
    if usage.reasoning_tokens:
        target.reasoning_tokens = count(usage.reasoning_tokens)
    for tokens in usage.modality_tokens:
        target.modality_tokens.add(
            modality=number(tokens.modality),
            input_tokens=count(tokens.input_tokens),
            output_tokens=count(tokens.output_tokens),
        )
    if usage.cost is not None:
        target.cost.currency_code = usage.cost.currency_code
        target.cost.amount_nanos = int64(usage.cost.amount_nanos)


def fill_route(target: pb.Route, call: Call, *, describe: Describe) -> None:
    """Writes in place how an answer came about."""
    target.provider = call.provider
    target.upstream_model = call.upstream_model
    if call.upstream_request_id:
        target.upstream_request_id = call.upstream_request_id
    for attempt in call.attempts:
        if attempt.error is not None:
            _fill_attempt(target.failed_attempts.add(), attempt, describe)


def fill_warnings(target: "RepeatedCompositeFieldContainer[pb.Warning]", warnings: Iterable[messages.Warning]) -> None:
    """Appends warnings."""
    for warning in warnings:
        fill_warning(target.add(), warning)


def fill_warning(target: pb.Warning, warning: messages.Warning) -> None:
    """Writes a warning in place."""
    target.SetInParent()
    target.code = warning.code
    target.field = warning.field
    target.message = warning.message


def fill_metadata(target: "MessageMap[str, Struct]", call: Call, said: ProviderResponse | UpstreamEnd) -> None:
    """Writes what the call's provider, and those behind it, said beyond the API, by kind."""
    metadata = said.relayed_metadata
    if said.provider_metadata and call.provider_kind:
        metadata = {**metadata, call.provider_kind: said.provider_metadata}
    for kind, words in metadata.items():
        fill_struct(target[kind], words)


def fill_logprobs(
    target: "RepeatedCompositeFieldContainer[generation_pb2.TokenLogprob]", logprobs: Iterable[TokenLogprob]
) -> None:
    """Appends log probabilities."""
    for logprob in logprobs:
        item = target.add(token=logprob.token, logprob=logprob.logprob, token_bytes=logprob.token_bytes)
        if logprob.top:
            fill_logprobs(item.top, logprob.top)


def fill_candidate(target: pb.Candidate, candidate: Candidate) -> None:
    """Writes an answer in place."""
    if candidate.index:
        target.index = count(candidate.index)
    fill_message(target.message, candidate.message)
    target.finish_reason = number(candidate.finish_reason)
    if candidate.raw_finish_reason:
        target.raw_finish_reason = candidate.raw_finish_reason
    if candidate.matched_stop_sequence:
        target.matched_stop_sequence = candidate.matched_stop_sequence
    if candidate.logprobs:
        fill_logprobs(target.logprobs, candidate.logprobs)


def _fill_attempt(target: error_pb2.Attempt, attempt: Attempt, describe: Describe) -> None:
    target.provider = attempt.provider
    target.upstream_model = attempt.upstream_model
    target.latency.SetInParent()
    fill_duration(target.latency, attempt.latency)
    if attempt.usage is not None:
        fill_usage(target.usage, attempt.usage)
    error = attempt.error
    if error is None:
        return
    code, reason = describe(error)
    target.grpc_code = code
    target.reason = reason
    if error.fault is not None:
        target.upstream_http_status = count(error.fault.http_status)
