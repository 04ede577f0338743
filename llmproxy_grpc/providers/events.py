"""A whole answer as the events of a stream that says the same, for servers that answer a stream's request at once."""

from typing import Any

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
    """The events; log probabilities, which are the whole candidate's, stand beside its first text or its last part."""
    events: list[StreamEvent] = []
    for candidate in response.candidates:
        parts = candidate.message.parts
        bearer = next((index for index, part in enumerate(parts) if isinstance(part, TextPart)), len(parts) - 1)
        for index, part in enumerate(parts):
            logprobs = candidate.logprobs if index == bearer else ()
            events.append(_delta(candidate.index, index, part, logprobs))
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
    place: dict[str, Any] = {"candidate_index": candidate, "part_index": index, "logprobs": logprobs}
    told: dict[str, Any] = {**place, "citations": part.citations, "continuity_token": part.continuity_token}
    match part:
        case TextPart(text=text):
            return TextDelta(text=text, **told)
        case ReasoningPart(text=text, redacted=redacted, summary=summary):
            return ReasoningDelta(text=text, redacted=redacted, summary=summary, **told)
        case RefusalPart(text=text):
            return RefusalDelta(text=text, **told)
        case ToolCallPart(id=call_id, name=name, arguments_json=arguments):
            return ToolCallDelta(id=call_id, name=name, arguments_json=arguments, **told)
        case _:
            return PartDelta(part=part, **place)
