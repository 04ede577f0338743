"""A stream's events, to protobuf."""

from collections.abc import Callable, Mapping
from typing import Any

from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc.calls import Call
from llmproxy_grpc.messages import (
    CandidateFinish,
    Delta,
    PartDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UpstreamEnd,
    Warning,
)
from llmproxy_grpc.wire.content_writing import fill_citations, fill_part, fill_reasoning
from llmproxy_grpc.wire.response import (
    Describe,
    fill_logprobs,
    fill_metadata,
    fill_route,
    fill_usage,
    fill_warning,
    fill_warnings,
)
from llmproxy_grpc.wire.scalars import count, fill_time, mending, number


@mending
def start_event(sequence: int, call: Call, *, describe: Describe) -> pb.StreamResponse:
    """Gives the event that opens a stream."""
    event = pb.StreamResponse(sequence=sequence)
    start = event.start
    start.id = call.id
    start.model = call.model
    fill_route(start.route, call, describe=describe)
    fill_time(start.create_time, call.create_time)
    fill_warnings(start.warnings, call.warnings)
    return event


@mending
def delta_event(sequence: int, delta: Delta) -> pb.StreamResponse:
    """Gives the event of more content."""
    event = pb.StreamResponse(sequence=sequence)
    _fill_delta(event.delta, delta)
    return event


@mending
def finish_event(sequence: int, finish: CandidateFinish) -> pb.StreamResponse:
    """Gives the event of a complete candidate."""
    event = pb.StreamResponse(sequence=sequence)
    target = event.finish
    target.SetInParent()
    target.candidate_index = count(finish.candidate_index)
    target.finish_reason = number(finish.finish_reason)
    target.raw_finish_reason = finish.raw_finish_reason
    target.matched_stop_sequence = finish.matched_stop_sequence
    return event


@mending
def warning_event(sequence: int, warning: Warning) -> pb.StreamResponse:
    """Gives the event of something that changed after the start."""
    event = pb.StreamResponse(sequence=sequence)
    fill_warning(event.warning, warning)
    return event


@mending
def end_event(
    sequence: int,
    end: UpstreamEnd,
    call: Call,
    *,
    describe: Describe,
) -> pb.StreamResponse:
    """Gives the event that ends a complete stream.

    Args:
        sequence: Its number.
        end: What the provider said at the end.
        call: The call as the router has left it, with its usage and its warnings from the start on.
        describe: Code and reason of the attempts that failed.
    """
    event = pb.StreamResponse(sequence=sequence)
    target = event.end
    if call.usage is not None:
        fill_usage(target.usage, call.usage)
    fill_route(target.route, call, describe=describe)
    fill_warnings(target.warnings, call.warnings)
    fill_metadata(target.provider_metadata, call, end)
    return event


def heartbeat_event(sequence: int) -> pb.StreamResponse:
    """Gives the event of silence."""
    event = pb.StreamResponse(sequence=sequence)
    event.heartbeat.SetInParent()
    return event


def _fill_delta(target: pb.ContentDelta, delta: Delta) -> None:
    if type(delta) is TextDelta:
        target.text = delta.text
    else:
        _WRITERS[type(delta)](target, delta)
    if delta.candidate_index:
        target.candidate_index = count(delta.candidate_index)
    if delta.part_index:
        target.part_index = count(delta.part_index)
    if delta.continuity_token:
        target.continuity_token = delta.continuity_token
    if delta.citations:
        fill_citations(target.citations, delta.citations)
    if delta.logprobs:
        fill_logprobs(target.logprobs, delta.logprobs)


def _fill_reasoning(target: pb.ContentDelta, delta: ReasoningDelta) -> None:
    fill_reasoning(target.reasoning, delta)


def _fill_refusal(target: pb.ContentDelta, delta: RefusalDelta) -> None:
    target.refusal = delta.text


def _fill_tool_call(target: pb.ContentDelta, delta: ToolCallDelta) -> None:
    call = target.tool_call
    call.SetInParent()
    call.id = delta.id
    call.name = delta.name
    call.arguments_json = delta.arguments_json


def _fill_part(target: pb.ContentDelta, delta: PartDelta) -> None:
    fill_part(target.part, delta.part)


_WRITERS: Mapping[type[Delta], Callable[[pb.ContentDelta, Any], None]] = {
    ReasoningDelta: _fill_reasoning,
    RefusalDelta: _fill_refusal,
    ToolCallDelta: _fill_tool_call,
    PartDelta: _fill_part,
}
