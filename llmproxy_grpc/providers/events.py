"""A whole answer as the events of a stream that says the same, for servers that answer a stream's request at once."""

from llmproxy_grpc.messages import (
    CandidateFinish,
    Delta,
    Part,
    PartDelta,
    ProviderResponse,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    StreamEvent,
    TextDelta,
    TextPart,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
    UpstreamEnd,
)


def events_of(response: ProviderResponse) -> list[StreamEvent]:
    """The events; log probabilities, which are the whole candidate's, stand beside its first text."""
    events: list[StreamEvent] = []
    for candidate in response.candidates:
        logprobs = candidate.logprobs
        for index, part in enumerate(candidate.message.parts):
            events.append(_delta(candidate.index, index, part, logprobs))
            if isinstance(part, TextPart):
                logprobs = ()
        events.append(
            CandidateFinish(
                candidate.index,
                candidate.finish_reason,
                candidate.raw_finish_reason,
                candidate.matched_stop_sequence,
            )
        )
    events.append(UpstreamEnd(response.usage, response.provider_metadata, response.relayed_metadata))
    return events


def _delta(candidate: int, index: int, part: Part, logprobs: tuple[TokenLogprob, ...]) -> Delta:
    token, sources = part.continuity_token, part.citations
    match part:
        case TextPart(text=text):
            return TextDelta(
                candidate_index=candidate,
                part_index=index,
                text=text,
                citations=sources,
                logprobs=logprobs,
                continuity_token=token,
            )
        case ReasoningPart(text=text, redacted=redacted, summary=summary):
            return ReasoningDelta(
                candidate_index=candidate,
                part_index=index,
                text=text,
                redacted=redacted,
                summary=summary,
                citations=sources,
                continuity_token=token,
            )
        case RefusalPart(text=text):
            return RefusalDelta(
                candidate_index=candidate, part_index=index, text=text, citations=sources, continuity_token=token
            )
        case ToolCallPart():
            return ToolCallDelta(
                candidate_index=candidate,
                part_index=index,
                id=part.id,
                name=part.name,
                arguments_json=part.arguments_json,
                citations=sources,
                continuity_token=token,
            )
        case _:
            return PartDelta(candidate_index=candidate, part_index=index, part=part)
