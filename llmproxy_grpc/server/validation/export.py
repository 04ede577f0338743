"""The rules of a request for an export."""

import math
import re
from typing import Final

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.datasets.formats import WITHOUT_REASONING_FIELD
from llmproxy_grpc.datasets.redaction import CLASSES
from llmproxy_grpc.errors import FieldViolation
from llmproxy_grpc.server.validation import bounds
from llmproxy_grpc.server.validation.export_filter import check_filter
from llmproxy_grpc.server.validation.findings import Findings
from llmproxy_grpc.server.validation.rules import check_number, check_word

_WITHOUT_REASONING_FIELD: Final = frozenset(map(int, WITHOUT_REASONING_FIELD))
_LARGEST: Final = 2**62
_PAIRED: Final = frozenset({pb.EXPORT_FORMAT_OPENAI_PREFERENCE, pb.EXPORT_FORMAT_TRL_PREFERENCE})
_AS_RECORDED: Final = frozenset({pb.EXPORT_FORMAT_RECORDS, pb.EXPORT_FORMAT_FULL_JSON, pb.EXPORT_FORMAT_CSV})
_OF_CONVERSATIONS: Final = ("reasoning", "prefer_demonstration", "drop_system", "merge_turns")
"""What changes the conversation that is written, where one is."""
_PLAN_ID: Final = re.compile(r"[A-Za-z0-9_-]+")


def validate_export(request: pb.ExportRequest) -> list[FieldViolation]:
    """Names every field that breaks a rule of the API, as `validate` does."""
    found = Findings()
    check_filter(found, "filter", request.filter)
    _check_selection(found, request.selection)
    _check_output(found, request.output)
    if request.plan_id:
        _check_plan(found, request)
    else:
        _check_needed(found, request.selection, request.output)
    if len(request.resume_token) > bounds.MAX_RESUME_TOKEN:
        found.add("resume_token", f"must be at most {bounds.MAX_RESUME_TOKEN} characters long")
    if request.max_chunk_bytes < 0:
        found.add("max_chunk_bytes", "must not be negative; 0 means 65536")
    if request.max_bytes_per_second:
        check_number(found, "max_bytes_per_second", request.max_bytes_per_second, bounds.EXPORT_BYTES_PER_SECOND)
    return found.violations()


def _check_plan(found: Findings, request: pb.ExportRequest) -> None:
    if len(request.plan_id) > bounds.MAX_PLAN_ID or not _PLAN_ID.fullmatch(request.plan_id):
        found.add("plan_id", "must be the plan_id of an ExportHeader")
    for name in ("filter", "selection"):
        if getattr(request, name).ByteSize():
            found.add(name, "must be empty with a plan_id, which has frozen it")


def _check_needed(found: Findings, selection: pb.ExportSelection, output: pb.ExportOutput) -> None:
    """What the output needs of the selection; a plan has frozen that, and is looked at when it is opened."""
    if output.part and not selection.HasField("split"):
        found.add("output.part", "needs selection.split: without it there are no parts")
    if output.format == pb.EXPORT_FORMAT_RECORDS and selection.HasField("split") and not output.part:
        found.add("output.part", "is required for RECORDS with a split: records do not tell their part")
    by_score = output.format in _PAIRED and selection.pairs.source == pb.PAIR_SOURCE_SCORE
    if not selection.pairs.feedback_name and (by_score or output.format == pb.EXPORT_FORMAT_TRL_KTO):
        found.add("selection.pairs.feedback_name", "is required: the feedback that ranks or labels the answers")


def _check_selection(found: Findings, asked: pb.ExportSelection) -> None:
    if asked.deduplication not in pb.Deduplication.values():
        found.add("selection.deduplication", "must be one that this version knows")
    if asked.order not in pb.ExportOrder.values():
        found.add("selection.order", "must be one that this version knows")
    if asked.limit < 0:
        found.add("selection.limit", "must not be negative; 0 means all")
    if asked.HasField("sample"):
        _check_sample(found, asked.sample)
    if asked.HasField("split"):
        _check_split(found, asked.split)
    _check_pairs(found, asked.pairs)


def _check_sample(found: Findings, asked: pb.Sample) -> None:
    size = asked.WhichOneof("size")
    if size is None:
        found.add("selection.sample", "needs a fraction or a count")
    elif size == "fraction":
        check_number(found, "selection.sample.fraction", asked.fraction, bounds.Range(0, 1))
    else:
        check_number(found, "selection.sample.count", asked.count, bounds.Range(0, _LARGEST))
    check_word(found, "selection.sample.stratify_by_label", asked.stratify_by_label, bounds.MAX_LABEL_KEY)


def _check_split(found: Findings, asked: pb.Split) -> None:
    check_number(found, "selection.split.validation_fraction", asked.validation_fraction, bounds.Range(0, 1))
    check_number(found, "selection.split.test_fraction", asked.test_fraction, bounds.Range(0, 1))
    if asked.validation_fraction + asked.test_fraction > 1:
        found.add("selection.split", "must leave no more than 1 for validation and test together")
    if asked.group_by not in pb.SplitGroup.values():
        found.add("selection.split.group_by", "must be one that this version knows")


def _check_pairs(found: Findings, asked: pb.PreferencePairs) -> None:
    if asked.source not in pb.PairSource.values():
        found.add("selection.pairs.source", "must be one that this version knows")
    check_word(found, "selection.pairs.feedback_name", asked.feedback_name, bounds.MAX_NAME)
    if not math.isfinite(asked.min_gap) or asked.min_gap < 0:
        found.add("selection.pairs.min_gap", "must be a finite number, not negative")


def _check_output(found: Findings, asked: pb.ExportOutput) -> None:
    known = {
        "format": pb.ExportFormat,
        "part": pb.SplitPart,
        "reasoning": pb.ReasoningOutput,
        "compression": pb.ExportCompression,
    }
    for name, enumeration in known.items():
        if getattr(asked, name) not in enumeration.values():
            found.add(f"output.{name}", "must be one that this version knows")
    _check_redaction(found, asked.redaction)
    if asked.max_tokens_per_record < 0:
        found.add("output.max_tokens_per_record", "must not be negative; 0 means no limit")
    _check_fit(found, asked)


def _check_fit(found: Findings, asked: pb.ExportOutput) -> None:
    """What does not go with the format."""
    if asked.format == pb.EXPORT_FORMAT_RECORDS:
        if asked.compression:
            found.add("output.compression", "must be unset for RECORDS, which are no bytes of a file")
        if asked.redaction.mode:
            found.add("output.redaction.mode", "must be unset for RECORDS, which leave as they are")
    for name in _OF_CONVERSATIONS if asked.format in _AS_RECORDED else ():
        if getattr(asked, name):
            found.add(f"output.{name}", "must be unset for RECORDS, FULL_JSON and CSV, which tell what was recorded")
    if asked.format == pb.EXPORT_FORMAT_RECORDS and asked.max_tokens_per_record > 0:
        found.add("output.max_tokens_per_record", "must be unset for RECORDS, which leave as they are")
    if asked.reasoning == pb.REASONING_OUTPUT_FIELD and asked.format in _WITHOUT_REASONING_FIELD:
        found.add("output.reasoning", "must not be FIELD for this format, which has none")
    if asked.prefer_demonstration and asked.format in _PAIRED:
        found.add(
            "output.prefer_demonstration", "must be unset for this format, whose pairs say which answer is better"
        )


def _check_redaction(found: Findings, asked: pb.Redaction) -> None:
    if asked.mode not in pb.RedactionMode.values():
        found.add("output.redaction.mode", "must be one that this version knows")
    for index, name in enumerate(asked.classes[: len(CLASSES) + 1]):
        if name not in CLASSES:
            found.add(f"output.redaction.classes[{index}]", f"must be one of {', '.join(sorted(CLASSES))}")
    if len(asked.classes) > len(CLASSES):
        found.add("output.redaction.classes", "must name each class once")
    if asked.classes and not asked.mode:
        found.add("output.redaction.mode", "is required where classes are named")
