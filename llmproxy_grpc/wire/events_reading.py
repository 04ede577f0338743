"""A stream's events, from protobuf: of an upstream that speaks our own API."""

from collections.abc import Callable, Mapping
from typing import Any

from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc.messages import (
    CandidateFinish,
    Delta,
    PartDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from llmproxy_grpc.wire.content_reading import to_citations, to_part
from llmproxy_grpc.wire.response_reading import to_finish_reason, to_logprobs


def to_delta(delta: pb.ContentDelta) -> Delta | None:
    """Gives more content; None if it is of a kind that this version does not know."""
    kind = delta.WhichOneof("delta")
    if kind is None:
        return None
    fields: dict[str, Any] = {"candidate_index": delta.candidate_index, "part_index": delta.part_index}
    if delta.continuity_token:
        fields["continuity_token"] = delta.continuity_token
    if delta.citations:
        fields["citations"] = to_citations(delta.citations)
    if delta.logprobs:
        fields["logprobs"] = to_logprobs(delta.logprobs)
    if kind == "text":
        return TextDelta(text=delta.text, **fields)
    return _READERS[kind](getattr(delta, kind), fields)


def to_finish(finish: pb.CandidateFinish) -> CandidateFinish:
    """Gives the end of a candidate."""
    return CandidateFinish(
        finish.candidate_index,
        to_finish_reason(finish.finish_reason),
        finish.raw_finish_reason,
        finish.matched_stop_sequence,
    )


def _to_reasoning(reasoning: Any, fields: dict[str, Any]) -> Delta:
    return ReasoningDelta(text=reasoning.text, redacted=reasoning.redacted, summary=reasoning.summary, **fields)


def _to_refusal(text: str, fields: dict[str, Any]) -> Delta:
    return RefusalDelta(text=text, **fields)


def _to_tool_call(call: pb.ToolCallDelta, fields: dict[str, Any]) -> Delta:
    return ToolCallDelta(id=call.id, name=call.name, arguments_json=call.arguments_json, **fields)


def _to_part(part: Any, fields: dict[str, Any]) -> Delta:
    return PartDelta(part=to_part(part), **fields)


_READERS: Mapping[str, Callable[[Any, dict[str, Any]], Delta]] = {
    "reasoning": _to_reasoning,
    "tool_call": _to_tool_call,
    "part": _to_part,
    "refusal": _to_refusal,
}
