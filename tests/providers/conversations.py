"""Conversations to ask with, and the message that a stream's events add up to."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from llmproxy_grpc.messages import (
    Candidate,
    CandidateFinish,
    ChatRequest,
    Delta,
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
    ToolCallDelta,
    ToolCallPart,
    UpstreamEnd,
    UpstreamStart,
)

WHOLE = {TextDelta: TextPart, RefusalDelta: RefusalPart}


def ask(*texts: str, **fields: Any) -> ChatRequest:
    """A conversation of user texts alone."""
    messages = tuple(Message(Role.USER, (TextPart(text=text),)) for text in texts or ("Hello?",))
    return ChatRequest(model="requested", **{"messages": messages, **fields})


def assembled(events: Iterable[StreamEvent]) -> ProviderResponse:
    """The answer that a stream's events add up to, checking the rules of streams on the way."""
    deltas: dict[int, list[Delta]] = {}
    finishes: dict[int, CandidateFinish] = {}
    events = list(events)
    assert not any(isinstance(event, UpstreamStart) for event in events[1:])
    end = events[-1]
    assert isinstance(end, UpstreamEnd)
    for event in events[:-1]:
        if isinstance(event, CandidateFinish):
            assert event.candidate_index not in finishes
            finishes[event.candidate_index] = event
        elif isinstance(event, Delta):
            assert event.candidate_index not in finishes
            deltas.setdefault(event.candidate_index, []).append(event)
    assert set(deltas) <= set(finishes)
    candidates = [_candidate(finish, deltas.get(index, [])) for index, finish in sorted(finishes.items())]
    return ProviderResponse(tuple(candidates), end.usage, provider_metadata=end.provider_metadata)


def _candidate(finish: CandidateFinish, deltas: Sequence[Delta]) -> Candidate:
    parts: dict[int, list[Delta]] = {}
    for delta in deltas:
        assert delta.part_index <= len(parts), "part indices begin at 0 and leave no gap"
        parts.setdefault(delta.part_index, []).append(delta)
    return Candidate(
        finish.candidate_index,
        Message(Role.ASSISTANT, tuple(_part(pieces) for _, pieces in sorted(parts.items()))),
        finish.finish_reason,
        finish.raw_finish_reason,
        finish.matched_stop_sequence,
        tuple(logprob for delta in deltas for logprob in delta.logprobs),
    )


def _part(deltas: Sequence[Delta]) -> Part:
    first = deltas[0]
    if isinstance(first, PartDelta):
        assert len(deltas) == 1, "a whole part comes once"
        return first.part
    assert {type(delta) for delta in deltas} == {type(first)}
    citations = tuple(citation for delta in deltas for citation in delta.citations)
    if isinstance(first, ToolCallDelta):
        assert all(not (delta.id or delta.name) for delta in deltas[1:] if isinstance(delta, ToolCallDelta))
        arguments = "".join(delta.arguments_json for delta in deltas if isinstance(delta, ToolCallDelta))
        token = next((delta.continuity_token for delta in reversed(deltas) if delta.continuity_token), b"")
        return ToolCallPart(id=first.id, name=first.name, arguments_json=arguments, continuity_token=token)
    token = next((delta.continuity_token for delta in reversed(deltas) if delta.continuity_token), b"")
    text = "".join(delta.text for delta in deltas)
    if isinstance(first, ReasoningDelta):
        return ReasoningPart(
            text=text,
            redacted=first.redacted,
            summary=first.summary,
            citations=citations,
            continuity_token=token,
        )
    return WHOLE[type(first)](text=text, citations=citations, continuity_token=token)


async def collected(batches: AsyncGenerator[Sequence[StreamEvent], None]) -> list[StreamEvent]:
    """All events of a stream."""
    events: list[StreamEvent] = []
    await collect(batches, events)
    return events


async def collect(batches: AsyncGenerator[Sequence[StreamEvent], None], into: list[StreamEvent]) -> None:
    """Collects the events of a stream as they come, so that those before an error remain."""
    async with aclosing(batches):
        async for batch in batches:
            assert batch, "a batch is never empty"
            into += batch
