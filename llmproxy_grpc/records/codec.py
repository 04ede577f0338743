"""From a frame of the spool to a row of the store: the only place where the two meet the API's messages."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from google.protobuf.message import DecodeError
from msgspec.structs import replace

from llmproxy_grpc._gen.v1 import chat_pb2 as pb
from llmproxy_grpc.calls import STREAM
from llmproxy_grpc.records.answers import answer_of
from llmproxy_grpc.records.chain import Chain, chain
from llmproxy_grpc.records.record import (
    Body,
    DataPolicy,
    Entry,
    Feedback,
    FeedbackKind,
    OpenCall,
    Record,
    parse_id,
    spell_id,
)
from llmproxy_grpc.records.spool.entries import Began, Ended, Figures, Judged

UNAVAILABLE: Final = 14
INTERRUPTED: Final = "INTERRUPTED"
NO_FIGURES: Final[Figures] = (0, 0, 0, 0, 0, 0, 0, None, "")

RenderLine = Callable[[pb.ChatRequest, pb.ChatResponse], tuple[bytes | None, str]]
"""Makes the line of OPENAI_CHAT of a record, or says why there is none."""


def entry_of(ended: Ended, render: RenderLine | None = None) -> Entry:
    """The row and the content of a call; who its parent is, and so the conversation, only the store can tell.

    Raises:
        ValueError: The frame holds something that cannot be read.
    """
    try:
        answer = _answer(ended)
        if not ended.request:
            return Entry(_record(ended, answer, labels=ended.labels))
        request = _request(ended)
        body = _body(ended, request, answer, render)
        candidate = answer.candidates[0].message if ended.complete and answer and answer.candidates else None
        return Entry(
            _with_content(
                _record(ended, answer, labels=request.labels), request, body, chain(request.messages, candidate)
            ),
            body,
        )
    except DecodeError as error:
        raise ValueError("not the messages of a call") from error


def bare(ended: Ended) -> Ended:
    """The same call without its content: what is told of it is all that is kept."""
    if not ended.request:
        return ended  # it had none, and what is told of it is told already
    request = _request(ended)
    answer = _answer(ended)
    return replace(
        ended,
        data_policy=int(DataPolicy.METADATA_ONLY),
        request=b"",
        response=without_words(answer) if answer is not None else b"",
        events=(),
        end_user=request.end_user_id,
        conversation=request.conversation_id,
        labels=dict(request.labels),
    )


def without_words(answer: pb.ChatResponse) -> bytes:
    """An answer as metadata alone: which target, what it used, why it ended."""
    told = pb.ChatResponse(id=answer.id, model=answer.model, route=answer.route)
    for attempt in told.route.failed_attempts:
        attempt.ClearField("usage")
    for candidate in answer.candidates:
        told.candidates.add(index=candidate.index, finish_reason=candidate.finish_reason)
    return told.SerializeToString()


def interrupted(call: OpenCall, now: int) -> Entry:
    """The row of a call whose worker died under it."""
    record = Record(
        id=call.id,
        tenant=call.tenant,
        method=call.method,
        started_at=call.started_at,
        ended_at=now,
        caller_key_id=call.caller_key_id,
        conversation=spell_id(call.id),
        grpc_code=UNAVAILABLE,
        error_reason=INTERRUPTED,
        data_policy=int(DataPolicy.METADATA_ONLY),
        training_ok=False,
        latency_us=max(0, now - call.started_at),
    )
    return Entry(record)


def open_call_of(began: Began, worker: str) -> OpenCall:
    """A call that has begun; raises ValueError if its id is none."""
    return OpenCall(parse_id(began.id), worker, began.tenant, began.method, began.started_at, began.caller_key_id)


def feedback_of(judged: Judged) -> Feedback:
    """A judgement's row; raises ValueError if its kind is unknown."""
    return Feedback(
        id=judged.id,
        tenant=judged.tenant,
        record_id=judged.record_id,
        name=judged.name,
        kind=FeedbackKind(judged.kind),
        number=judged.number,
        content=judged.content,
        source=judged.source,
        created_at=judged.created_at,
    )


def _request(ended: Ended) -> pb.ChatRequest:
    if ended.method == STREAM:
        return pb.StreamRequest.FromString(ended.request).chat
    return pb.ChatRequest.FromString(ended.request)


def _answer(ended: Ended) -> pb.ChatResponse | None:
    if ended.response:
        return pb.ChatResponse.FromString(ended.response)
    return answer_of(ended.events)


def _record(ended: Ended, answer: pb.ChatResponse | None, *, labels: Mapping[str, str]) -> Record:
    inputs, outputs, total, cached, written, thought, source, nanos, currency = ended.usage or NO_FIGURES
    known = ended.usage is not None
    return Record(
        id=parse_id(ended.id),
        tenant=ended.tenant,
        method=ended.method,
        started_at=ended.started_at,
        ended_at=ended.started_at + ended.latency_us,
        caller_key_id=ended.caller_key_id,
        end_user=ended.end_user,
        conversation=ended.conversation,
        model=ended.model,
        provider=ended.provider,
        upstream_model=ended.upstream_model,
        attempts=ended.attempts,
        fell_back=ended.fell_back,
        grpc_code=ended.grpc_code,
        error_reason=ended.error_reason,
        error=ended.error or None,
        finish_reasons=_finish_reasons(answer),
        complete=ended.complete,
        input_tokens=inputs if known else None,
        output_tokens=outputs if known else None,
        total_tokens=total if known else None,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=thought,
        usage_source=source,
        cost_nanos=nanos,
        cost_currency=currency,
        latency_us=ended.latency_us,
        ttft_us=ended.ttft_us,
        data_policy=ended.data_policy,
        training_ok=ended.data_policy == DataPolicy.FULL,
        labels=msgspec.json.encode(dict(sorted(labels.items()))).decode() if labels else "",
    )


def _with_content(record: Record, request: pb.ChatRequest, body: Body, hashes: Chain) -> Record:
    return replace(
        record,
        end_user=request.end_user_id,
        conversation=request.conversation_id,
        messages=len(request.messages) + bool(hashes.full_hash),
        content_bytes=len(body.request) + len(body.response),
        has_tool_calls=hashes.has_tool_calls,
        has_media=hashes.has_media,
        dkey=hashes.dkey,
        input_hash=hashes.input_hash,
        full_hash=hashes.full_hash,
        ancestors=b"".join(hashes.ancestors),
    )


def _body(ended: Ended, request: pb.ChatRequest, answer: pb.ChatResponse | None, render: RenderLine | None) -> Body:
    sent = request.SerializeToString() if ended.method == STREAM else ended.request
    if answer is None:
        return Body(sent)
    response = ended.response or answer.SerializeToString()
    line, fault = render(request, answer) if render is not None and ended.complete else (None, "")
    return Body(sent, response, line, fault)


def _finish_reasons(answer: pb.ChatResponse | None) -> int:
    reasons = 0
    for candidate in answer.candidates if answer is not None else ():
        if 0 < candidate.finish_reason < 63:
            reasons |= 1 << candidate.finish_reason
    return reasons
