"""RecordFeedback: keeps what somebody thinks of a recorded call."""

import math
import time
from collections.abc import Callable
from typing import Final

from llmproxy_grpc._gen.v1 import content_pb2, feedback_pb2
from llmproxy_grpc.errors import FeatureDisabled, FieldViolation, ProxyOverloaded
from llmproxy_grpc.records.record import FeedbackKind, parse_id
from llmproxy_grpc.records.recorder import Recorder
from llmproxy_grpc.records.spool.entries import Judged
from llmproxy_grpc.server.request import invalid
from llmproxy_grpc.server.rpc import Rpc
from llmproxy_grpc.server.validation.bounds import MAX_COMMENT, MAX_NAME
from llmproxy_grpc.server.validation.conversation import check_messages
from llmproxy_grpc.server.validation.findings import Findings
from llmproxy_grpc.server.validation.rules import check_required_word, check_word

RETRY_AFTER: Final = 1.0
FIRST: Final = "messages[0]"
"""Where the rules of a conversation see the demonstration."""

WORDS: Final = frozenset({"comment", "demonstration"})

Value = tuple[FeedbackKind, float | None, bytes | None]


class FeedbackServicer:
    """Serves RecordFeedback.

    Args:
        recorder: Takes the judgement; None if this deployment keeps no records.
        words: Whether comments and demonstrations may be kept: they are content.
        wall_us: The wall clock, in microseconds.
    """

    def __init__(
        self,
        recorder: Recorder | None,
        *,
        words: bool = True,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._recorder = recorder
        self._words = words
        self._wall_us = wall_us

    async def record_feedback(
        self, request: feedback_pb2.RecordFeedbackRequest, rpc: Rpc
    ) -> feedback_pb2.RecordFeedbackResponse:
        """Takes one judgement; its record may come later."""
        if self._recorder is None:
            raise FeatureDisabled("This deployment keeps no records (records.enabled is false).")
        violations = _violations(request)
        if violations:
            raise invalid(violations)
        if not self._words:
            _check_wordless(request)
        now = self._wall_us()
        kind, number, content = _value(request)
        judged = Judged(
            id=parse_id(rpc.call.id),
            tenant=rpc.call.caller.tenant,
            record_id=parse_id(request.record_id),
            name=request.name,
            kind=kind,
            number=number,
            content=content,
            source=request.source,
            created_at=now,
        )
        if not await self._recorder.judged(judged):
            raise ProxyOverloaded("The judgement could not be kept now.", retry_after=RETRY_AFTER)
        response = feedback_pb2.RecordFeedbackResponse()
        response.create_time.FromMicroseconds(now)
        return response


def _check_wordless(request: feedback_pb2.RecordFeedbackRequest) -> None:
    kind = request.WhichOneof("value") or ""
    if kind in WORDS:
        raise FeatureDisabled(
            f"This deployment keeps no content (records.content is metadata), and a {kind} is content.",
            violations=(FieldViolation(kind, "cannot be kept here; give thumbs_up or a score"),),
        )


def _violations(request: feedback_pb2.RecordFeedbackRequest) -> list[FieldViolation]:
    found = Findings()
    try:
        parse_id(request.record_id)
    except ValueError:
        found.add("record_id", "must be the id of a ChatResponse or a StreamStart")
    check_required_word(found, "name", request.name, MAX_NAME)
    check_word(found, "source", request.source, MAX_NAME)
    kind = request.WhichOneof("value")
    if kind is None:
        found.add("value", "is required: thumbs_up, score, comment or demonstration")
    elif kind == "score" and not math.isfinite(request.score):
        found.add("score", "must be a finite number")
    elif kind == "comment" and not 0 < len(request.comment) <= MAX_COMMENT:
        found.add("comment", f"must be 1 to {MAX_COMMENT} characters long")
    demonstration = _demonstration_violations(request.demonstration) if kind == "demonstration" else []
    return [*found.violations(), *demonstration]


def _demonstration_violations(message: content_pb2.Message) -> list[FieldViolation]:
    if message.role != content_pb2.ROLE_ASSISTANT:
        return [FieldViolation("demonstration.role", "must be ASSISTANT: it is the answer that should have been given")]
    found = Findings()
    check_messages(found, [message])
    if message.parts and not any(part.WhichOneof("part") != "text" or part.text.strip() for part in message.parts):
        found.add(f"{FIRST}.parts", "must say something: it is the answer that should have been given")
    return [
        FieldViolation(each.field.replace(FIRST, "demonstration", 1), each.description) for each in found.violations()
    ]


def _value(request: feedback_pb2.RecordFeedbackRequest) -> Value:
    kind = request.WhichOneof("value")
    if kind == "thumbs_up":
        return FeedbackKind.THUMBS, float(request.thumbs_up), None
    if kind == "score":
        return FeedbackKind.SCORE, request.score, None
    if kind == "comment":
        return FeedbackKind.COMMENT, None, request.comment.encode()
    return FeedbackKind.DEMONSTRATION, None, request.demonstration.SerializeToString()
