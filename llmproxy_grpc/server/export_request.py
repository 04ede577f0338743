"""A request for an export as the server's own values, by now valid; a job and what its tokens are bound to."""

from hashlib import sha256
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.datasets.formats import PAIRED
from llmproxy_grpc.datasets.options import Format, Options, ReasoningOutput
from llmproxy_grpc.datasets.redaction import RedactionMode
from llmproxy_grpc.export.job import Job
from llmproxy_grpc.export.spec import (
    Choice,
    Compression,
    Deduplication,
    Output,
    Pairs,
    PairSource,
    Part,
    Redaction,
    Sample,
    Selection,
    Split,
    SplitGroup,
)
from llmproxy_grpc.messages import Role
from llmproxy_grpc.records.end_users import Forms, as_it_is
from llmproxy_grpc.records.filters import (
    FeedbackCondition,
    Filter,
    LabelCondition,
    LabelOperator,
    NumberCondition,
    NumberField,
    TextCondition,
)

USUAL_CHUNK: Final = 65_536
SMALLEST_CHUNK: Final = 4_096
LARGEST_CHUNK: Final = 1_048_576
RECORDED_CHATS: Final = ("Chat", "Stream")
"""The methods of an export that names none."""
OK_ALONE: Final = (0,)
"""The codes of an export that names none."""
_LISTS: Final = (
    "record_ids",
    "models",
    "providers",
    "upstream_models",
    "grpc_codes",
    "finish_reasons",
    "end_user_ids",
    "conversation_ids",
    "caller_key_ids",
    "methods",
)


def to_job(request: pb.ExportRequest, tenant: str, end_user: Forms = as_it_is) -> Job:
    """Gives what a request asks for, of the tenant that asks; `end_user` gives the forms in which an id may be kept."""
    output = to_output(request.output)
    asked = request.filter
    selection = to_selection(request.selection)
    chunk = request.max_chunk_bytes or USUAL_CHUNK
    return Job(
        tenant=tenant,
        choice=to_choice(to_filter(asked, end_user), selection, output),
        plan_id=request.plan_id,
        output=output,
        after_seq=asked.after_seq,
        as_of_seq=asked.as_of_seq,
        as_of_feedback_seq=asked.as_of_feedback_seq,
        chunk_bytes=min(max(chunk, SMALLEST_CHUNK), LARGEST_CHUNK),
        plan_only=request.plan_only,
    )


def digest(request: pb.ExportRequest) -> bytes:
    """What a resume token is bound to: the whole request but the token."""
    bare = pb.ExportRequest()
    bare.CopyFrom(request)
    bare.ClearField("resume_token")
    return sha256(bare.SerializeToString(deterministic=True)).digest()


def to_choice(asked: Filter, selection: Selection, output: Output) -> Choice:
    """Gives what a plan freezes of filter, selection and format."""
    paired, labelled = output.format in PAIRED, output.format == Format.TRL_KTO
    by_score = selection.pairs.source == PairSource.SCORE
    return Choice(
        asked,
        selection,
        pairs_of_records=paired and by_score,
        needs_demonstration=(paired and not by_score) or (labelled and output.options.prefer_demonstration),
        needs_label=labelled,
    )


def to_filter(asked: pb.ExportFilter, end_user: Forms, *, outermost: bool = True) -> Filter:
    """Gives a filter; the outermost one asks for successful chats where it does not say otherwise."""
    lists: dict[str, tuple[Any, ...]] = {name: tuple(getattr(asked, name)) for name in _LISTS}
    lists["record_ids"] = tuple(record_id.lower() for record_id in asked.record_ids)
    lists["end_user_ids"] = tuple(form for given in asked.end_user_ids for form in end_user(given))
    if outermost:
        lists["grpc_codes"] = lists["grpc_codes"] or OK_ALONE
        lists["methods"] = lists["methods"] or RECORDED_CHATS
    return Filter(
        **lists,
        start_us=_microseconds(asked.start_time) if asked.HasField("start_time") else None,
        end_us=_microseconds(asked.end_time) if asked.HasField("end_time") else None,
        labels=tuple(map(_to_label, asked.labels)),
        feedback=tuple(map(_to_feedback, asked.feedback)),
        numbers=tuple(map(_to_number, asked.numbers)),
        texts=tuple(map(_to_text, asked.texts)),
        has_tool_calls=_optional(asked, "has_tool_calls"),
        has_media=_optional(asked, "has_media"),
        fell_back=_optional(asked, "fell_back"),
        any_of=tuple(to_filter(inner, end_user, outermost=False) for inner in asked.any_of),
        none_of=tuple(to_filter(inner, end_user, outermost=False) for inner in asked.none_of),
    )


def to_selection(asked: pb.ExportSelection) -> Selection:
    """Gives a selection."""
    return Selection(
        leaves_only=asked.leaves_only,
        deduplication=Deduplication(asked.deduplication),
        sample=_to_sample(asked.sample) if asked.HasField("sample") else None,
        shuffled=asked.order == pb.EXPORT_ORDER_SHUFFLED,
        seed=asked.seed,
        limit=asked.limit,
        split=_to_split(asked.split) if asked.HasField("split") else None,
        include_no_training=asked.include_no_training,
        pairs=Pairs(
            PairSource(asked.pairs.source or PairSource.DEMONSTRATION),
            asked.pairs.feedback_name,
            asked.pairs.min_gap,
        ),
    )


def to_output(asked: pb.ExportOutput) -> Output:
    """Gives what is written."""
    form = asked.format or pb.EXPORT_FORMAT_OPENAI_CHAT
    return Output(
        format=None if form == pb.EXPORT_FORMAT_RECORDS else Format(form),
        options=Options(
            reasoning=ReasoningOutput(asked.reasoning),
            prefer_demonstration=asked.prefer_demonstration,
            drop_system=asked.drop_system,
            merge_turns=asked.merge_turns,
            max_tokens=asked.max_tokens_per_record,
        ),
        part=Part(asked.part),
        redaction=_to_redaction(asked.redaction) if asked.redaction.mode else None,
        compression=Compression(asked.compression),
        fail_on_invalid=asked.fail_on_invalid,
    )


def _to_redaction(asked: pb.Redaction) -> Redaction:
    return Redaction(RedactionMode(asked.mode), tuple(sorted(set(asked.classes))))


def _to_label(asked: pb.LabelCondition) -> LabelCondition:
    return LabelCondition(asked.key, LabelOperator(asked.operator or LabelOperator.EXISTS), tuple(asked.values))


def _to_feedback(asked: pb.FeedbackCondition) -> FeedbackCondition:
    return FeedbackCondition(
        name=asked.name,
        thumbs_up=_optional(asked, "thumbs_up"),
        min_score=_optional(asked, "min_score"),
        max_score=_optional(asked, "max_score"),
        has_demonstration=_optional(asked, "has_demonstration"),
        source=asked.source,
    )


def _to_number(asked: pb.NumberCondition) -> NumberCondition:
    return NumberCondition(NumberField(asked.field), _optional(asked, "min"), _optional(asked, "max"))


def _to_text(asked: pb.TextCondition) -> TextCondition:
    return TextCondition(
        contains=asked.contains,
        negate=asked.negate,
        roles=tuple(Role(role) for role in asked.roles),
        case_sensitive=asked.case_sensitive,
    )


def _to_sample(asked: pb.Sample) -> Sample:
    by_count = asked.WhichOneof("size") == "count"
    return Sample(
        fraction=None if by_count else asked.fraction,
        count=asked.count if by_count else None,
        stratify_by_label=asked.stratify_by_label,
    )


def _to_split(asked: pb.Split) -> Split:
    group = SplitGroup(asked.group_by or SplitGroup.CONVERSATION)
    return Split(asked.validation_fraction, asked.test_fraction, group)


def _optional(message: Any, field: str) -> Any:
    """A field's value; None if it is not set."""
    return getattr(message, field) if message.HasField(field) else None


def _microseconds(time: Timestamp) -> int:
    """A bound in microseconds; what is between two of them is rounded up, as times are kept rounded down."""
    return time.seconds * 1_000_000 + -(-time.nanos // 1000)
