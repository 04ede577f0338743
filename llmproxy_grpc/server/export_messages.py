"""The messages of an export, from what its thread has made."""

from google.protobuf.timestamp_pb2 import Timestamp

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc._gen.v1 import generation_pb2
from llmproxy_grpc.export.job import Header, Summary
from llmproxy_grpc.export.output import Chunk, File, Piece, Typed, TypedRecord
from llmproxy_grpc.export.reading import finish_reasons_of, labels_of
from llmproxy_grpc.records.record import Feedback, FeedbackKind, Record, spell_id
from llmproxy_grpc.wire.scalars import count, fill_duration, int64

_SECOND = 1_000_000


def header_message(header: Header) -> pb.ExportResponse:
    """What will come."""
    message = pb.ExportResponse()
    message.header.plan_id = header.plan_id
    message.header.as_of_seq = header.window.as_of_seq
    message.header.as_of_feedback_seq = header.window.as_of_feedback_seq
    message.header.matched_records = header.matched
    message.header.selected_records = header.selected
    message.header.estimated_bytes = header.size
    message.header.expire_time.seconds = header.expires_at
    return message


def summary_message(summary: Summary) -> pb.ExportResponse:
    """What came."""
    message = pb.ExportResponse()
    message.summary.matched_records = summary.matched
    message.summary.written_records = summary.written
    message.summary.skipped_records.update(summary.skipped)
    message.summary.redacted_values.update(summary.redacted)
    message.summary.file_count = summary.files
    return message


def heartbeat_message() -> pb.ExportResponse:
    """Silence, but searching."""
    message = pb.ExportResponse()
    message.heartbeat.SetInParent()
    return message


def piece_message(piece: Piece) -> pb.ExportResponse:
    """A chunk, a file's end, or typed records."""
    payload = piece.payload
    match payload:
        case Chunk():
            message = pb.ExportResponse()
            chunk = message.chunk  # filled in place: the data is large, and would be copied once more
            chunk.data = payload.data
            chunk.record_count = payload.records
            chunk.part = int(payload.part)  # type: ignore[assignment]  # the numbers are the API's
            chunk.crc32c = payload.crc
            chunk.file_index = payload.file_index
            return message
        case File():
            return pb.ExportResponse(
                file=pb.ExportFile(
                    part=int(payload.part),  # type: ignore[arg-type]  # as above
                    record_count=payload.records,
                    byte_count=payload.size,
                    sha256=payload.sha256,
                    index=payload.index,
                )
            )
        case Typed():
            message = pb.ExportResponse()
            message.records.SetInParent()
            for record in payload.records:
                fill_record(message.records.records.add(), record)
            return message


def fill_record(target: pb.ExportRecord, source: TypedRecord) -> None:
    """Writes a record in place; what was kept of its content is taken over byte for byte."""
    record = source.record
    target.id = spell_id(record.id)
    target.seq = record.seq
    _fill_time(target.start_time, record.started_at)
    fill_duration(target.latency, record.latency_us / _SECOND)
    if record.ttft_us is not None:
        fill_duration(target.time_to_first_token, record.ttft_us / _SECOND)
    target.method = record.method
    target.caller_key_id = record.caller_key_id
    target.grpc_code = record.grpc_code
    target.conversation_id = record.conversation
    _fill_content(target, source)
    for feedback in source.feedback:
        _fill_feedback(target.feedback.add(), feedback)


def _fill_content(target: pb.ExportRecord, source: TypedRecord) -> None:
    record = source.record
    if record.error is not None:
        target.error.ParseFromString(record.error)
    if source.body is not None:
        target.request.ParseFromString(source.body.request)
        target.response.ParseFromString(source.body.response)
        return
    target.request.model = record.model
    target.request.end_user_id = record.end_user
    target.request.labels.update(labels_of(record))
    target.response.id = target.id
    target.response.model = record.model
    _fill_time(target.response.create_time, record.started_at)
    target.response.route.provider = record.provider
    target.response.route.upstream_model = record.upstream_model
    for place, reason in enumerate(finish_reasons_of(record)):
        # Their numbers are not kept: one for each reason.
        target.response.candidates.add(index=place, finish_reason=reason)
    if record.total_tokens is not None:
        _fill_usage(target.response.usage, record)


def _fill_usage(target: generation_pb2.Usage, record: Record) -> None:
    """The figures of a record whose response was not kept."""
    target.input_tokens = count(record.input_tokens or 0)
    target.output_tokens = count(record.output_tokens or 0)
    target.total_tokens = count(record.total_tokens or 0)
    target.cached_input_tokens = count(record.cached_tokens)
    target.cache_write_input_tokens = count(record.cache_write_tokens)
    target.reasoning_tokens = count(record.reasoning_tokens)
    target.source = record.usage_source  # type: ignore[assignment]  # the numbers are the API's
    if record.cost_nanos is not None:
        target.cost.currency_code = record.cost_currency
        target.cost.amount_nanos = int64(record.cost_nanos)


def _fill_feedback(target: pb.Feedback, feedback: Feedback) -> None:
    target.name, target.source = feedback.name, feedback.source
    _fill_time(target.create_time, feedback.created_at)
    match feedback.kind:
        case FeedbackKind.THUMBS:
            target.thumbs_up = bool(feedback.number)
        case FeedbackKind.SCORE:
            target.score = feedback.number or 0.0
        case FeedbackKind.COMMENT:
            target.comment = (feedback.content or b"").decode(errors="replace")
        case FeedbackKind.DEMONSTRATION:
            target.demonstration.ParseFromString(feedback.content or b"")


def _fill_time(target: Timestamp, microseconds: int) -> None:
    target.seconds, rest = divmod(microseconds, _SECOND)
    target.nanos = rest * 1000
