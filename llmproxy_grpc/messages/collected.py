"""Puts a stream's events together into the answer that Chat would have given."""

from collections.abc import Sequence

from llmproxy_grpc.messages import (
    Candidate,
    CandidateFinish,
    Citation,
    Delta,
    FinishReason,
    Message,
    Part,
    PartDelta,
    ProviderResponse,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    Role,
    StreamEvent,
    TextDelta,
    TextPart,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
    UpstreamEnd,
)


class _Growing:
    """One part while its deltas come."""

    def __init__(self, first: Delta) -> None:
        self.first = first
        self.pieces: list[str] = []
        self.citations: list[Citation] = []
        self.continuity_token = b""

    def add(self, delta: Delta) -> None:
        match delta:
            case ToolCallDelta():
                self.pieces.append(delta.arguments_json)
            case TextDelta() | ReasoningDelta() | RefusalDelta():
                self.pieces.append(delta.text)
            case _:
                pass
        self.citations.extend(delta.citations)
        self.continuity_token = delta.continuity_token or self.continuity_token

    def part(self) -> Part:
        text = "".join(self.pieces)
        citations, token = tuple(self.citations), self.continuity_token
        match self.first:
            case ReasoningDelta(redacted=redacted, summary=summary):
                return ReasoningPart(text, redacted, summary, citations=citations, continuity_token=token)
            case RefusalDelta():
                return RefusalPart(text, citations=citations, continuity_token=token)
            case ToolCallDelta(id=call_id, name=name):
                return ToolCallPart(call_id, name, text, citations=citations, continuity_token=token)
            case PartDelta(part=part):
                return part
            case _:
                return TextPart(text, citations=citations, continuity_token=token)


class Collected:
    """An answer that grows with every batch of events."""

    def __init__(self) -> None:
        self._parts: dict[tuple[int, int], _Growing] = {}
        self._logprobs: dict[int, list[TokenLogprob]] = {}
        self._finishes: dict[int, CandidateFinish] = {}
        self._end = UpstreamEnd()

    def take(self, batch: Sequence[StreamEvent]) -> None:
        """Adds events, in the order of the stream."""
        for event in batch:
            match event:
                case Delta():
                    self._parts.setdefault((event.candidate_index, event.part_index), _Growing(event)).add(event)
                    self._logprobs.setdefault(event.candidate_index, []).extend(event.logprobs)
                case CandidateFinish():
                    self._finishes[event.candidate_index] = event
                case UpstreamEnd():
                    self._end = event
                case _:
                    pass

    def response(self, upstream_request_id: str) -> ProviderResponse:
        """The answer so far."""
        parts: dict[int, list[Part]] = {index: [] for index in self._finishes}
        for index, number in sorted(self._parts):
            parts.setdefault(index, []).append(self._parts[index, number].part())
        return ProviderResponse(
            tuple(self._candidate(index, tuple(parts[index])) for index in sorted(parts)),
            self._end.usage,
            upstream_request_id,
            self._end.provider_metadata,
            relayed_metadata=self._end.relayed_metadata,
        )

    def _candidate(self, index: int, parts: tuple[Part, ...]) -> Candidate:
        finish = self._finishes.get(index, CandidateFinish(index, FinishReason.UNSPECIFIED))
        return Candidate(
            index,
            Message(Role.ASSISTANT, parts),
            finish.finish_reason,
            finish.raw_finish_reason,
            finish.matched_stop_sequence,
            tuple(self._logprobs.get(index, ())),
        )
