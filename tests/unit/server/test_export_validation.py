"""Every wrong field of a request for an export is named by its path."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from llmproxy_grpc._gen.v1 import export_pb2 as pb
from llmproxy_grpc.records.filters import MOST_FILTERS
from llmproxy_grpc.server.export_request import to_job
from llmproxy_grpc.server.validation import export_filter, validate_export

Filter, Selection, Output = pb.ExportFilter, pb.ExportSelection, pb.ExportOutput


def nested(levels):
    asked = Filter(models=["m"])
    for _ in range(levels - 1):
        asked = Filter(any_of=[asked])
    return asked


WRONG = [
    (Filter(start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=1)), "filter.end_time"),
    (Filter(start_time=Timestamp(seconds=-1)), "filter.start_time"),
    (Filter(end_time=Timestamp(nanos=-1)), "filter.end_time"),
    (Filter(after_seq=-1), "filter.after_seq"),
    (Filter(after_seq=5, as_of_seq=4), "filter.as_of_seq"),
    (Filter(record_ids=["00000000-0000-0000-0000-000000000000", "x"]), "filter.record_ids[1]"),
    (Filter(record_ids=["{00000000-0000-0000-0000-000000000000}"]), "filter.record_ids[0]"),
    (Filter(models=[""]), "filter.models[0]"),
    (Filter(grpc_codes=[17]), "filter.grpc_codes[0]"),
    (Filter(finish_reasons=[0]), "filter.finish_reasons[0]"),
    (Filter(methods=["Sing"]), "filter.methods[0]"),
    (Filter(models=["m"] * 10_001), "filter.models"),
    (Filter(labels=[pb.LabelCondition()]), "filter.labels[0].key"),
    (Filter(labels=[pb.LabelCondition(key="k", values=["v"])]), "filter.labels[0].values"),
    (Filter(labels=[pb.LabelCondition(key="k", operator=2)]), "filter.labels[0].values"),
    (Filter(labels=[pb.LabelCondition(key="k", operator=9, values=["v"])]), "filter.labels[0].operator"),
    (Filter(feedback=[pb.FeedbackCondition()]), "filter.feedback[0].name"),
    (Filter(feedback=[pb.FeedbackCondition(name="n", min_score=2, max_score=1)]), "filter.feedback[0].max_score"),
    (Filter(feedback=[pb.FeedbackCondition(name="n", min_score=float("nan"))]), "filter.feedback[0].min_score"),
    (Filter(numbers=[pb.NumberCondition(min=1)]), "filter.numbers[0].field"),
    (Filter(numbers=[pb.NumberCondition(field=1)]), "filter.numbers[0]"),
    (Filter(labels=[pb.LabelCondition(key="k")] * 65), "filter.labels"),
    (
        Filter(
            labels=[pb.LabelCondition(key="k")] * 30,
            feedback=[pb.FeedbackCondition(name="n")] * 30,
            numbers=[pb.NumberCondition(field=1, min=1)] * 5,
        ),
        "filter.numbers",
    ),
    (
        Filter(any_of=[Filter(feedback=[pb.FeedbackCondition(name="n")] * 33)] * 2),
        "filter.any_of[1].feedback",
    ),
    (Filter(texts=[pb.TextCondition()]), "filter.texts[0].contains"),
    (Filter(texts=[pb.TextCondition(contains="x")] * 65), "filter.texts"),
    (Filter(any_of=[Filter(texts=[pb.TextCondition(contains="x")] * 33)] * 2), "filter.any_of[1].texts"),
    (Filter(texts=[pb.TextCondition(contains="x", roles=[0])]), "filter.texts[0].roles[0]"),
    (Filter(any_of=[Filter(none_of=[Filter(as_of_seq=1)])]), "filter.any_of[0].none_of[0].as_of_seq"),
    (Filter(any_of=[Filter() for _ in range(64)]), "filter.any_of[63]"),
    (nested(9), "filter" + ".any_of[0]" * 8),
    (Selection(deduplication=9), "selection.deduplication"),
    (Selection(order=9), "selection.order"),
    (Selection(limit=-1), "selection.limit"),
    (Selection(sample=pb.Sample()), "selection.sample"),
    (Selection(sample=pb.Sample(fraction=1.5)), "selection.sample.fraction"),
    (Selection(sample=pb.Sample(fraction=float("nan"))), "selection.sample.fraction"),
    (Selection(sample=pb.Sample(count=-1)), "selection.sample.count"),
    (Selection(split=pb.Split(validation_fraction=0.6, test_fraction=0.6)), "selection.split"),
    (Selection(split=pb.Split(group_by=9)), "selection.split.group_by"),
    (Selection(pairs=pb.PreferencePairs(source=9)), "selection.pairs.source"),
    (Selection(pairs=pb.PreferencePairs(min_gap=-1)), "selection.pairs.min_gap"),
    (Output(format=99), "output.format"),
    (pb.ExportRequest(output=Output(part=9), selection=Selection(split=pb.Split())), "output.part"),
    (Output(part=2), "output.part"),
    (Output(reasoning=9), "output.reasoning"),
    (Output(compression=9), "output.compression"),
    (Output(format=1, compression=1), "output.compression"),
    (Output(format=1, redaction=pb.Redaction(mode=1)), "output.redaction.mode"),
    (Output(format=1, max_tokens_per_record=5), "output.max_tokens_per_record"),
    *[
        (Output(format=form, **{name: 1}), f"output.{name}")
        for form in (1, 12, 13)
        for name in ("reasoning", "prefer_demonstration", "drop_system", "merge_turns")
    ],
    (pb.ExportRequest(output=Output(format=1), selection=Selection(split=pb.Split())), "output.part"),
    (Output(format=7, reasoning=1), "output.reasoning"),
    (Output(format=3, prefer_demonstration=True), "output.prefer_demonstration"),
    (Output(format=5, prefer_demonstration=True), "output.prefer_demonstration"),
    (Output(max_tokens_per_record=-1), "output.max_tokens_per_record"),
    (Output(redaction=pb.Redaction(mode=9)), "output.redaction.mode"),
    (Output(redaction=pb.Redaction(classes=["EMAIL"])), "output.redaction.mode"),
    (Output(redaction=pb.Redaction(mode=1, classes=["EMAIL", "EYES"])), "output.redaction.classes[1]"),
    (pb.ExportRequest(max_chunk_bytes=-1), "max_chunk_bytes"),
    (pb.ExportRequest(max_bytes_per_second=-1), "max_bytes_per_second"),
    (pb.ExportRequest(max_bytes_per_second=1), "max_bytes_per_second"),
    (pb.ExportRequest(max_bytes_per_second=65_535), "max_bytes_per_second"),
    (pb.ExportRequest(resume_token="x" * 9000), "resume_token"),
    (pb.ExportRequest(plan_id="../../etc"), "plan_id"),
    (pb.ExportRequest(plan_id="a", filter=Filter(models=["m"])), "filter"),
    (pb.ExportRequest(plan_id="a", selection=Selection(seed=1)), "selection"),
]


def request_of(wrong):
    if isinstance(wrong, pb.ExportRequest):
        return wrong
    name = {Filter: "filter", Selection: "selection", Output: "output"}[type(wrong)]
    return pb.ExportRequest(**{name: wrong})


@pytest.mark.parametrize(("wrong", "path"), WRONG, ids=[path[:60] for _, path in WRONG])
def test_a_wrong_field_is_named_alone(wrong, path):
    assert [violation.field for violation in validate_export(request_of(wrong))] == [path]


def test_a_large_bound_is_told_to_the_digit():
    (violation,) = validate_export(pb.ExportRequest(max_bytes_per_second=1))
    assert violation.description == "must be from 65536 to 1099511627776"


@pytest.mark.parametrize("name", ["any_of", "none_of"])
def test_filters_beyond_the_bound_are_not_even_looked_at(monkeypatch, name):
    looked_at = []

    def check_one(*given, **settings):
        looked_at.append(given[1])
        original(*given, **settings)

    original = export_filter._check_one
    monkeypatch.setattr(export_filter, "_check_one", check_one)
    found = validate_export(pb.ExportRequest(filter=Filter(**{name: [Filter() for _ in range(10_000)]})))
    assert [violation.field for violation in found] == [f"filter.{name}[{MOST_FILTERS - 1}]"]
    assert len(looked_at) == MOST_FILTERS + 1


def test_as_much_as_is_allowed_is_taken():
    request = pb.ExportRequest(
        filter=Filter(any_of=[nested(7), *[Filter() for _ in range(56)]], start_time=Timestamp(), end_time=Timestamp()),
        selection=Selection(sample=pb.Sample(count=0), split=pb.Split(validation_fraction=1)),
        max_bytes_per_second=65_536,
    )
    assert validate_export(request) == []


@pytest.mark.parametrize("form", [pb.EXPORT_FORMAT_OPENAI_PREFERENCE, pb.EXPORT_FORMAT_TRL_PREFERENCE])
def test_pairs_by_score_need_the_name_of_the_feedback(form):
    request = pb.ExportRequest(
        selection=Selection(pairs=pb.PreferencePairs(source=pb.PAIR_SOURCE_SCORE)), output=Output(format=form)
    )
    assert [violation.field for violation in validate_export(request)] == ["selection.pairs.feedback_name"]
    request.selection.pairs.feedback_name = "grade"
    assert validate_export(request) == []
    assert to_job(request, "t").choice.pairs_of_records


def test_labels_of_kto_need_the_name_of_the_feedback():
    request = pb.ExportRequest(output=Output(format=pb.EXPORT_FORMAT_TRL_KTO))
    assert [violation.field for violation in validate_export(request)] == ["selection.pairs.feedback_name"]
    request.plan_id = "a"
    assert validate_export(request) == []


@pytest.mark.parametrize(("asked", "given"), [(0, 65_536), (1, 4_096), (5_000, 5_000), (2**30, 1_048_576)])
def test_the_size_of_chunks_is_clamped(asked, given):
    assert to_job(pb.ExportRequest(max_chunk_bytes=asked), "t").chunk_bytes == given


def test_a_time_between_two_microseconds_is_the_later_one():
    job = to_job(pb.ExportRequest(filter=Filter(start_time=Timestamp(seconds=1, nanos=1))), "t")
    assert job.choice.filter.start_us == 1_000_001
