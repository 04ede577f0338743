"""FULL_JSON: everything that is recorded of a call, in the JSON of the API's ExportRecord."""

from typing import Any

from msgspec.structs import asdict

from llmproxy_grpc.datasets.example import Example, FailedAttempt, Failure, Feedback
from llmproxy_grpc.datasets.formats.api_json import (
    Fields,
    bytes_json,
    duration_json,
    enum_json,
    filled,
    given,
    message_json,
    time_json,
)
from llmproxy_grpc.datasets.formats.lines import to_line
from llmproxy_grpc.datasets.formats.request_json import request_json
from llmproxy_grpc.datasets.options import Options
from llmproxy_grpc.messages import Candidate, Message, TokenLogprob, Usage


def render(example: Example, options: Options) -> bytes:  # noqa: ARG001 - everything is everything
    """Writes an example; no option changes it."""
    figures = example.figures
    return to_line(
        filled(
            id=example.id,
            seq=example.seq,
            start_time=time_json(figures.started_us),
            latency=duration_json(figures.latency_us),
            time_to_first_token=duration_json(figures.first_token_us),
            method=figures.method,
            caller_key_id=figures.caller_key_id,
            grpc_code=figures.grpc_code,
            error=None if figures.failure is None else _failure(figures.failure),
            request=request_json(example.request),
            response=_response(example),
            feedback=[_feedback(each) for each in example.feedback],
            conversation_id=figures.conversation_id,
        )
    )


def _response(example: Example) -> Fields:
    figures = example.figures
    route = filled(
        provider=figures.provider,
        upstream_model=figures.upstream_model,
        upstream_request_id=figures.upstream_request_id,
        cache_hit=figures.cache_hit,
        failed_attempts=[_attempt(each) for each in figures.failed_attempts],
    )
    candidates = [_candidate(each) for each in example.candidates] or [
        filled(index=place, finish_reason=enum_json("FINISH_REASON", reason))
        for place, reason in enumerate(figures.finish_reasons)
    ]
    if not (route or candidates or figures.usage):
        return {}
    return filled(
        id=example.id,
        model=example.request.model,
        candidates=candidates,
        usage=_usage(figures.usage),
        create_time=time_json(figures.started_us),
        route=route,
        warnings=[filled(**asdict(warning)) for warning in figures.warnings],
        provider_metadata=figures.provider_metadata,
    )


def _candidate(candidate: Candidate) -> Fields:
    return filled(
        index=candidate.index,
        message=message_json(candidate.message),
        finish_reason=enum_json("FINISH_REASON", candidate.finish_reason),
        raw_finish_reason=candidate.raw_finish_reason,
        matched_stop_sequence=candidate.matched_stop_sequence,
        logprobs=[_logprob(each) for each in candidate.logprobs],
    )


def _logprob(logprob: TokenLogprob) -> Fields:
    return filled(
        token=logprob.token,
        logprob=logprob.logprob,
        token_bytes=bytes_json(logprob.token_bytes),
        top=[_logprob(each) for each in logprob.top],
    )


def _usage(usage: Usage | None) -> Fields:
    if usage is None:
        return {}
    return filled(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_input_tokens=usage.cache_write_input_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        modality_tokens=[
            filled(**asdict(tokens) | {"modality": enum_json("MODALITY", tokens.modality)})
            for tokens in usage.modality_tokens
        ],
        cost=None if usage.cost is None else asdict(usage.cost),
        source=enum_json("USAGE_SOURCE", usage.source),
    )


def _failure(failure: Failure) -> Fields:
    fields: dict[str, Any] = asdict(failure)
    del fields["retry_after_us"]
    return filled(
        **fields
        | {
            "reason": f"ERROR_REASON_{failure.reason}",
            "retry_after": duration_json(failure.retry_after_us),
            "partial_usage": _usage(failure.partial_usage),
            "attempts": [_attempt(each) for each in failure.attempts],
        }
    )


def _attempt(attempt: FailedAttempt) -> Fields:
    return filled(
        provider=attempt.provider,
        upstream_model=attempt.upstream_model,
        grpc_code=attempt.grpc_code,
        upstream_http_status=attempt.upstream_http_status,
        reason=attempt.reason and f"ERROR_REASON_{attempt.reason}",
        latency=duration_json(attempt.latency_us),
        usage=_usage(attempt.usage),
    )


def _feedback(feedback: Feedback) -> Fields:
    return filled(name=feedback.name, source=feedback.source, create_time=time_json(feedback.created_us)) | given(
        **_judgement(feedback.value)
    )


def _judgement(value: bool | float | str | Message) -> Fields:  # noqa: FBT001 - a thumb is a truth value
    match value:
        case bool():
            return {"thumbs_up": value}
        case str():
            return {"comment": value}
        case Message():
            return {"demonstration": message_json(value)}
        case _:
            return {"score": value}
