"""Stored records as the examples that formats write."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from msgspec import Struct

from llmproxy_grpc.datasets import example as dataset
from llmproxy_grpc.datasets.example import Example, Failure, Figures, Pair
from llmproxy_grpc.export.reading import finish_reasons_of, labels_of
from llmproxy_grpc.export.spec import Pairs, PairSource
from llmproxy_grpc.messages import ChatRequest, Cost, Message, ProviderResponse, Usage, UsageSource
from llmproxy_grpc.records.decoding import Content, read_content, read_failure, read_message
from llmproxy_grpc.records.record import Body, Feedback, FeedbackKind, Record, spell_id

GOOD_SCORE = 0.5
"""The least score of a wanted answer, where a format asks for yes or no; scores come before thumbs."""


class Source(Struct, frozen=True):
    """All that is stored of a record; `body` is None if its content was not kept."""

    record: Record
    body: Body | None
    feedback: Sequence[Feedback]


def example_of(source: Source, pairs: Pairs, rejected: Body | None) -> Example:
    """Gives the example of a record.

    Args:
        source: The record.
        pairs: How preferences and labels are made.
        rejected: The content of the worse answer to the same prompt, if pairs are made of records.

    Raises:
        Unreadable: The content, or a judgement, cannot be read.
    """
    record, feedback = source.record, source.feedback
    content = _content(source)
    shown = demonstration_of(feedback, pairs.feedback_name)
    return Example(
        id=spell_id(record.id),
        seq=record.seq,
        request=content.request,
        candidates=content.response.candidates,
        feedback=tuple(map(_judgement, feedback)),
        demonstration=shown,
        pair=_pair(content, pairs, shown, rejected),
        label=label_of(feedback, pairs.feedback_name),
        content_kept=source.body is not None,
        figures=_figures(record, content),
    )


def demonstration_of(feedback: Sequence[Feedback], name: str) -> Message | None:
    """The latest demonstration, of one name or, if that is empty, of any."""
    shown = [each for each in feedback if each.kind == FeedbackKind.DEMONSTRATION and name in ("", each.name)]
    return read_message(shown[-1].content or b"") if shown else None


def has_demonstration(feedback: Sequence[Feedback], name: str) -> bool:
    """Whether there is a demonstration, of one name or, if that is empty, of any."""
    return any(each.kind == FeedbackKind.DEMONSTRATION and name in ("", each.name) for each in feedback)


def label_of(feedback: Sequence[Feedback], name: str) -> bool | None:
    """Whether the answer is wanted, by scores of that name or else by thumbs; None if nobody said."""
    score = score_of(feedback, name)
    return None if score is None else score >= GOOD_SCORE


def score_of(feedback: Sequence[Feedback], name: str) -> float | None:
    """How good an answer is: the mean of the scores of that name over their sources, else of its thumbs, 1 or 0."""
    for kind in (FeedbackKind.SCORE, FeedbackKind.THUMBS):
        numbers = [each.number for each in feedback if each.kind == kind and each.name == name]
        told = [number for number in numbers if number is not None]
        if told:
            return fmean(told)
    return None


def _content(source: Source) -> Content:
    if source.body is not None:
        return read_content(source.body)
    record = source.record
    request = ChatRequest(model=record.model, messages=(), end_user_id=record.end_user, labels=labels_of(record))
    return Content(request, ProviderResponse(()))


def _pair(content: Content, pairs: Pairs, shown: Message | None, rejected: Body | None) -> Pair | None:
    if not content.response.candidates:
        return None
    answer = content.response.candidates[0].message
    if pairs.source == PairSource.DEMONSTRATION:
        return None if shown is None else Pair(shown, answer)
    if rejected is None:
        return None
    others = read_content(rejected).response.candidates
    return Pair(answer, others[0].message) if others else None


def _judgement(feedback: Feedback) -> dataset.Feedback:
    return dataset.Feedback(
        name=feedback.name,
        value=_VALUES[feedback.kind](feedback),
        source=feedback.source,
        created_us=feedback.created_at,
    )


_VALUES: Mapping[FeedbackKind, Callable[[Feedback], bool | float | str | Message]] = {
    FeedbackKind.THUMBS: lambda feedback: bool(feedback.number),
    FeedbackKind.SCORE: lambda feedback: feedback.number or 0.0,
    FeedbackKind.COMMENT: lambda feedback: (feedback.content or b"").decode(errors="replace"),
    FeedbackKind.DEMONSTRATION: lambda feedback: read_message(feedback.content or b""),
}


def _figures(record: Record, content: Content) -> Figures:
    response = content.response
    return Figures(
        method=record.method,
        started_us=record.started_at,
        latency_us=record.latency_us,
        first_token_us=record.ttft_us,
        caller_key_id=record.caller_key_id,
        grpc_code=record.grpc_code,
        failure=_failure(record),
        conversation_id=record.conversation,
        provider=record.provider,
        upstream_model=record.upstream_model,
        upstream_request_id=content.upstream_request_id,
        cache_hit=content.cache_hit,
        failed_attempts=content.failed_attempts,
        usage=response.usage or _usage(record),
        finish_reasons=tuple(finish_reasons_of(record)),
        warnings=response.warnings,
        provider_metadata=response.relayed_metadata,
    )


def _failure(record: Record) -> Failure | None:
    if record.error is not None:
        return read_failure(record.error)
    return Failure(reason=record.error_reason) if record.error_reason else None


def _usage(record: Record) -> Usage | None:
    """Tokens and cost as the record's figures say, where the response says nothing."""
    if record.total_tokens is None:
        return None
    sources = {source.value: source for source in UsageSource}
    return Usage(
        input_tokens=record.input_tokens or 0,
        output_tokens=record.output_tokens or 0,
        total_tokens=record.total_tokens,
        cached_input_tokens=record.cached_tokens,
        cache_write_input_tokens=record.cache_write_tokens,
        reasoning_tokens=record.reasoning_tokens,
        cost=None if record.cost_nanos is None else Cost(record.cost_currency, record.cost_nanos),
        source=sources.get(record.usage_source, UsageSource.UNSPECIFIED),
    )
