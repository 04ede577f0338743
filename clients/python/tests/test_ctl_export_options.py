"""Every option of `llmproxyctl export` and `feedback` becomes the field of the API that it is for."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from llmproxy_client.ctl import arguments
from llmproxy_client.ctl.export_options import request_of
from llmproxy_client.v1 import export_pb2
from llmproxy_client.v1.export_pb2 import ExportRequest

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
CONNECTION = {"--target", "--admin-target", "--api-key", "--tls", "--ca-file", "--cert", "--key", "--timeout"}
HERE = {"--help", "--output", "--restart", "--parquet", "--json", "--filter"}
"""What says how the command works; the file that `--filter` names has a test of its own."""

PAIRED = {"output": {"format": "EXPORT_FORMAT_TRL_PREFERENCE"}}
SPLIT = {"validation_fraction": 0.25}


def filtered(**fields):
    return {"filter": fields}


def chosen(**fields):
    return {"selection": fields}


def written(**fields):
    return {"output": fields}


REQUESTS = [
    ("--plan", {"plan_only": True}),
    ("--plan-id 4e7f", {"plan_id": "4e7f"}),
    ("--max-rate 50M", {"max_bytes_per_second": 50_000_000}),
    ("--max-rate 100k", {"max_bytes_per_second": 100_000}),
    ("--since 2026-01-01T00:00:00Z", filtered(start_time="2026-01-01T00:00:00Z")),
    ("--since 2w", filtered(start_time="2026-01-17T12:00:00Z")),
    ("--since 90m", filtered(start_time="2026-01-31T10:30:00Z")),
    ("--until 2026-01-01T00:00:00+01:00", filtered(end_time="2025-12-31T23:00:00Z")),
    ("--until 36h", filtered(end_time="2026-01-30T00:00:00Z")),
    ("--after-seq 7", filtered(after_seq=7)),
    ("--as-of-seq 9", filtered(as_of_seq=9)),
    ("--as-of-feedback-seq 5", filtered(as_of_feedback_seq=5)),
    ("--record r1 --record r2", filtered(record_ids=["r1", "r2"])),
    ("--model a --model b", filtered(models=["a", "b"])),
    ("--provider a --provider b", filtered(providers=["a", "b"])),
    ("--upstream-model a --upstream-model b", filtered(upstream_models=["a", "b"])),
    ("--method Embed --method Chat", filtered(methods=["Embed", "Chat"])),
    ("--code ok --code 14 --code NOT_FOUND", filtered(grpc_codes=[0, 14, 5])),
    (
        "--finish-reason STOP --finish-reason max_tokens",
        filtered(finish_reasons=["FINISH_REASON_STOP", "FINISH_REASON_MAX_TOKENS"]),
    ),
    ("--end-user u1 --end-user u2", filtered(end_user_ids=["u1", "u2"])),
    ("--conversation c1 --conversation c2", filtered(conversation_ids=["c1", "c2"])),
    ("--caller-key k1 --caller-key k2", filtered(caller_key_ids=["k1", "k2"])),
    ("--label team", filtered(labels=[{"key": "team", "operator": "LABEL_OPERATOR_EXISTS"}])),
    ("--label t=a,b", filtered(labels=[{"key": "t", "operator": "LABEL_OPERATOR_IN", "values": ["a", "b"]}])),
    ("--label t!=c", filtered(labels=[{"key": "t", "operator": "LABEL_OPERATOR_NOT_IN", "values": ["c"]}])),
    ("--label t^=x", filtered(labels=[{"key": "t", "operator": "LABEL_OPERATOR_PREFIX", "values": ["x"]}])),
    ("--label t=", filtered(labels=[{"key": "t", "operator": "LABEL_OPERATOR_IN", "values": [""]}])),
    ("--label u=a?b!=c", filtered(labels=[{"key": "u", "operator": "LABEL_OPERATOR_IN", "values": ["a?b!=c"]}])),
    ("--feedback seen --feedback a=up", filtered(feedback=[{"name": "seen"}, {"name": "a", "thumbs_up": True}])),
    ("--feedback a=down", filtered(feedback=[{"name": "a", "thumbs_up": False}])),
    (
        "--feedback q>=0.5 --feedback q<=1",
        filtered(feedback=[{"name": "q", "min_score": 0.5}, {"name": "q", "max_score": 1}]),
    ),
    ("--feedback d=demonstration", filtered(feedback=[{"name": "d", "has_demonstration": True}])),
    (
        "--feedback a=up --feedback q --feedback-source grader",
        filtered(feedback=[{"name": "a", "thumbs_up": True, "source": "grader"}, {"name": "q", "source": "grader"}]),
    ),
    ("--where output_tokens>=10", filtered(numbers=[{"field": "NUMBER_FIELD_OUTPUT_TOKENS", "min": 10}])),
    ("--where cost<=0.5", filtered(numbers=[{"field": "NUMBER_FIELD_COST", "max": 0.5}])),
    ("--contains one --contains two", filtered(texts=[{"contains": "one"}, {"contains": "two"}])),
    ("--not-contains two", filtered(texts=[{"contains": "two", "negate": True}])),
    (
        "--contains one --not-contains two --in-role user --in-role tool",
        filtered(
            texts=[
                {"contains": "one", "roles": ["ROLE_USER", "ROLE_TOOL"]},
                {"contains": "two", "negate": True, "roles": ["ROLE_USER", "ROLE_TOOL"]},
            ]
        ),
    ),
    ("--contains one --case-sensitive", filtered(texts=[{"contains": "one", "case_sensitive": True}])),
    ("--tools", filtered(has_tool_calls=True)),
    ("--no-tools", filtered(has_tool_calls=False)),
    ("--media", filtered(has_media=True)),
    ("--no-media", filtered(has_media=False)),
    ("--fell-back", filtered(fell_back=True)),
    ("--no-fell-back", filtered(fell_back=False)),
    ("--leaves-only", chosen(leaves_only=True)),
    ("--deduplicate exact", chosen(deduplication="DEDUPLICATION_EXACT")),
    ("--deduplicate near", chosen(deduplication="DEDUPLICATION_NEAR")),
    ("--sample 100", chosen(sample={"count": 100})),
    ("--sample 10%", chosen(sample={"fraction": 0.1})),
    ("--sample 0.5 --stratify-by team", chosen(sample={"fraction": 0.5, "stratify_by_label": "team"})),
    ("--shuffle", chosen(order="EXPORT_ORDER_SHUFFLED")),
    ("--seed -9223372036854775808", chosen(seed=-(2**63))),
    ("--limit 9", chosen(limit=9)),
    ("--include-no-training", chosen(include_no_training=True)),
    ("--validation 0.25", chosen(split=SPLIT)),
    ("--test 25%", chosen(split={"test_fraction": 0.25})),
    ("--validation 0.25 --group-by conversation", chosen(split={**SPLIT, "group_by": "SPLIT_GROUP_CONVERSATION"})),
    ("--validation 0.25 --group-by end_user", chosen(split={**SPLIT, "group_by": "SPLIT_GROUP_END_USER"})),
    ("--validation 0.25 --group-by record", chosen(split={**SPLIT, "group_by": "SPLIT_GROUP_RECORD"})),
    ("--validation 0.25 --part train", {**chosen(split=SPLIT), **written(part="SPLIT_PART_TRAIN")}),
    ("--validation 0.25 --part validation", {**chosen(split=SPLIT), **written(part="SPLIT_PART_VALIDATION")}),
    ("--validation 0.25 --part test", {**chosen(split=SPLIT), **written(part="SPLIT_PART_TEST")}),
    (
        "--format trl_preference --pairs demonstration",
        {**PAIRED, **chosen(pairs={"source": "PAIR_SOURCE_DEMONSTRATION"})},
    ),
    (
        "--format trl_preference --pairs score --pairs-by q --min-gap 0.5",
        {**PAIRED, **chosen(pairs={"source": "PAIR_SOURCE_SCORE", "feedback_name": "q", "min_gap": 0.5})},
    ),
    ("--format records", written(format="EXPORT_FORMAT_RECORDS")),
    ("--reasoning field", written(reasoning="REASONING_OUTPUT_FIELD")),
    ("--reasoning think", written(reasoning="REASONING_OUTPUT_THINK_TAGS")),
    ("--redact mask", written(redaction={"mode": "REDACTION_MODE_MASK"})),
    ("--redact drop_record", written(redaction={"mode": "REDACTION_MODE_DROP_RECORD"})),
    (
        "--redact token --redact-class EMAIL --redact-class IBAN",
        written(redaction={"mode": "REDACTION_MODE_TOKEN", "classes": ["EMAIL", "IBAN"]}),
    ),
    ("--prefer-demonstration", written(prefer_demonstration=True)),
    ("--drop-system", written(drop_system=True)),
    ("--merge-turns", written(merge_turns=True)),
    ("--max-tokens 100", written(max_tokens_per_record=100)),
    ("--compress gzip", written(compression="EXPORT_COMPRESSION_GZIP")),
    ("--compress zstd", written(compression="EXPORT_COMPRESSION_ZSTD")),
    ("--fail-on-invalid", written(fail_on_invalid=True)),
]
NOT_BY_AN_OPTION = {
    "ExportRequest.resume_token",  # the command keeps it itself
    "ExportRequest.max_chunk_bytes",  # how it is sent, not what
    "ExportFilter.any_of",  # `--filter`
    "ExportFilter.none_of",
}


@pytest.mark.parametrize(("argv", "expected"), REQUESTS, ids=[argv for argv, _ in REQUESTS])
def test_an_option_becomes_its_field(argv, expected):
    given = arguments.parser({}).parse_args(["export", "-o", "x", *argv.split()])
    wanted = {"filter": {}, "selection": {}, **expected}
    wanted["output"] = {"format": "EXPORT_FORMAT_OPENAI_CHAT", **expected.get("output", {})}

    assert request_of(given, NOW) == json_format.ParseDict(wanted, ExportRequest())


@pytest.mark.parametrize("name", [name for name, number in export_pb2.ExportFormat.items() if number])
def test_every_format_goes_by_its_name_in_lower_case(name):
    given = arguments.parser({}).parse_args(
        ["export", "--plan", "--format", name.removeprefix("EXPORT_FORMAT_").lower()]
    )

    assert export_pb2.ExportFormat.Name(request_of(given, NOW).output.format) == name


@pytest.mark.parametrize("name", [name for name, number in export_pb2.NumberField.items() if number])
def test_every_number_goes_by_its_name_in_lower_case(name):
    word = name.removeprefix("NUMBER_FIELD_").lower()
    given = arguments.parser({}).parse_args(["export", "--plan", "--where", f"{word}>=1"])

    assert [export_pb2.NumberField.Name(number.field) for number in request_of(given, NOW).filter.numbers] == [name]


def test_no_option_is_without_a_row(ctl, capsys):
    with pytest.raises(SystemExit):
        ctl("export", "--help")
    named = set(re.findall(r"(?<![\w-])--[a-z-]+", capsys.readouterr().out))
    told = {word for argv, _ in REQUESTS for word in argv.split() if word.startswith("--")}

    assert len(named) > 60
    assert named - CONNECTION - HERE == told


def test_no_field_of_the_request_is_out_of_reach():
    fields = set(_fields(ExportRequest.DESCRIPTOR))
    told = {name for _, wanted in REQUESTS for name in _set_in(json_format.ParseDict(wanted, ExportRequest()))}

    assert fields - told == NOT_BY_AN_OPTION


def _fields(message, seen=()) -> Iterator[str]:
    """The fields that a message may set, of the messages within as well."""
    for field in message.fields:
        yield f"{message.name}.{field.name}"
        inner = field.message_type
        if inner is not None and inner.file == message.file and inner not in seen and inner != message:
            yield from _fields(inner, (*seen, message))


def _set_in(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        yield f"{message.DESCRIPTOR.name}.{field.name}"
        if field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type.file == message.DESCRIPTOR.file:
            for inner in value if field.is_repeated else [value]:
                yield from _set_in(inner)
