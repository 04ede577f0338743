"""The options of `llmproxyctl export` that choose among the records and say what is written."""

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from google.protobuf.json_format import Parse, ParseError

from llmproxy_client.ctl.export_filters import add_filters, filter_of
from llmproxy_client.dataset.parquet import ParquetUnavailable, check_parquet
from llmproxy_client.v1.export_pb2 import (
    DEDUPLICATION_EXACT,
    DEDUPLICATION_NEAR,
    DEDUPLICATION_UNSPECIFIED,
    EXPORT_COMPRESSION_GZIP,
    EXPORT_COMPRESSION_UNSPECIFIED,
    EXPORT_COMPRESSION_ZSTD,
    EXPORT_ORDER_SHUFFLED,
    EXPORT_ORDER_UNSPECIFIED,
    PAIR_SOURCE_DEMONSTRATION,
    PAIR_SOURCE_SCORE,
    PAIR_SOURCE_UNSPECIFIED,
    REASONING_OUTPUT_FIELD,
    REASONING_OUTPUT_THINK_TAGS,
    REASONING_OUTPUT_UNSPECIFIED,
    REDACTION_MODE_DROP_RECORD,
    REDACTION_MODE_MASK,
    REDACTION_MODE_TOKEN,
    SPLIT_GROUP_CONVERSATION,
    SPLIT_GROUP_END_USER,
    SPLIT_GROUP_RECORD,
    SPLIT_GROUP_UNSPECIFIED,
    SPLIT_PART_TEST,
    SPLIT_PART_TRAIN,
    SPLIT_PART_UNSPECIFIED,
    SPLIT_PART_VALIDATION,
    ExportFilter,
    ExportFormat,
    ExportOutput,
    ExportRequest,
    ExportSelection,
    PreferencePairs,
    Sample,
    Split,
)

_PREFIX: Final = "EXPORT_FORMAT_"
FORMATS: Final = {name.removeprefix(_PREFIX).lower(): number for name, number in ExportFormat.items() if number}
_DEDUPLICATIONS: Final = {"exact": DEDUPLICATION_EXACT, "near": DEDUPLICATION_NEAR}
_GROUPS: Final = {
    "conversation": SPLIT_GROUP_CONVERSATION,
    "end_user": SPLIT_GROUP_END_USER,
    "record": SPLIT_GROUP_RECORD,
}
_PARTS: Final = {"train": SPLIT_PART_TRAIN, "validation": SPLIT_PART_VALIDATION, "test": SPLIT_PART_TEST}
_PREFERENCES: Final = frozenset({"trl_preference", "openai_preference"})
_PAIRS: Final = {"demonstration": PAIR_SOURCE_DEMONSTRATION, "score": PAIR_SOURCE_SCORE}
_REASONING: Final = {"field": REASONING_OUTPUT_FIELD, "think": REASONING_OUTPUT_THINK_TAGS}
_REDACTIONS: Final = {
    "mask": REDACTION_MODE_MASK,
    "token": REDACTION_MODE_TOKEN,
    "drop_record": REDACTION_MODE_DROP_RECORD,
}
_COMPRESSIONS: Final = {"gzip": EXPORT_COMPRESSION_GZIP, "zstd": EXPORT_COMPRESSION_ZSTD}
_SIZES: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Adds every option of the command but the global ones."""
    parser.add_argument("-o", "--output", metavar="DIR", type=_folder, help="folder to write; it must not be there yet")
    parser.add_argument("--format", choices=FORMATS, default="openai_chat", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--plan", action="store_true", help="say how much it would be, and write nothing")
    parser.add_argument(
        "--plan-id", metavar="ID", default="", help="write what an earlier --plan froze, whatever came since"
    )
    parser.add_argument("--restart", action="store_true", help="begin anew rather than where it was cut off")
    parser.add_argument("--parquet", action="store_true", help="write Parquet beside it (the extra `parquet`)")
    parser.add_argument("--json", action="store_true", help="print JSON: the manifest, or the plan")
    parser.add_argument(
        "--max-rate", metavar="BYTES", type=_size, default=0, help="most bytes a second, such as 50M; at least 66k"
    )
    add_filters(parser).add_argument(
        "--filter", metavar="FILE", type=_filter_file, help="an ExportFilter as JSON, for nested conditions; added"
    )
    _add_selection(parser.add_argument_group("which of those"))
    _add_output(parser.add_argument_group("what is written of them"))


def _add_selection(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--leaves-only", action="store_true", help="leave out what a longer record contains")
    group.add_argument("--deduplicate", choices=_DEDUPLICATIONS, help="leave out repeats")
    group.add_argument("--sample", metavar="N", type=_sample, help="so many records, or a share such as 0.1 or 10%%")
    group.add_argument("--stratify-by", metavar="LABEL", default="", help="the same share of each of its values")
    group.add_argument("--shuffle", action="store_true", help="in an order by the seed")
    group.add_argument("--seed", metavar="N", type=_seed, default=0, help="of every choice by chance")
    group.add_argument("--limit", metavar="N", type=_count, default=0, help="most records")
    group.add_argument("--validation", metavar="SHARE", type=_share, default=0.0, help="share of the validation part")
    group.add_argument("--test", metavar="SHARE", type=_share, default=0.0, help="share of the test part")
    group.add_argument("--part", choices=_PARTS, help="only this part of the split; all of them without it")
    group.add_argument("--group-by", choices=_GROUPS, help="what a split keeps together; conversation without it")
    group.add_argument("--include-no-training", action="store_true", help="also what must not be trained on")
    group.add_argument("--pairs", choices=_PAIRS, help="where preference pairs come from; demonstration without it")
    group.add_argument("--pairs-by", metavar="NAME", default="", help="feedback that ranks or labels the answers")
    group.add_argument("--min-gap", metavar="SCORE", type=float, default=0.0, help="least difference of two scores")


def _add_output(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--reasoning", choices=_REASONING, help="write the model's thinking: a field, or <think> tags")
    group.add_argument("--redact", choices=_REDACTIONS, help="hide personal data and secrets that are found")
    group.add_argument("--redact-class", metavar="CLASS", action="append", default=[], help="only these, such as EMAIL")
    group.add_argument("--prefer-demonstration", action="store_true", help="write it in place of the answer")
    group.add_argument("--drop-system", action="store_true", help="leave out system messages")
    group.add_argument("--merge-turns", action="store_true", help="join messages of one role behind each other")
    group.add_argument("--max-tokens", metavar="N", type=_count, default=0, help="leave out longer records")
    group.add_argument("--compress", choices=_COMPRESSIONS, help="compress the files")
    group.add_argument("--fail-on-invalid", action="store_true", help="stop at a record that does not fit the format")


def check_export(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Ends with what is wrong about options that do not go together, before anything is asked."""
    if given.output is None and not given.plan:
        parser.error("export needs -o DIR, or --plan")
    if given.group_by and not (given.validation or given.test):
        parser.error("--group-by needs --validation or --test: it says what a split keeps together")
    if given.part and not (given.validation or given.test or given.plan_id):
        parser.error("--part needs --validation or --test: it names a part of the split")
    if given.stratify_by and given.sample is None:
        parser.error("--stratify-by needs --sample: it says of what to take the same share")
    if given.redact_class and not given.redact:
        parser.error("--redact-class needs --redact: it says what of it to hide")
    _check_conditions(parser, given)
    if given.plan_id:
        _check_plan(parser, given)
    else:
        _check_pairs(parser, given)
    if given.parquet and not given.plan:
        try:
            check_parquet(given.format, zstandard=given.compress == "zstd")
        except ParquetUnavailable as error:
            parser.error(str(error))


def _check_conditions(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    if given.feedback_source and not given.feedback:
        parser.error("--feedback-source needs --feedback: it says whose")
    if (given.in_role or given.case_sensitive) and not (given.contains or given.not_contains):
        parser.error("--in-role and --case-sensitive need --contains or --not-contains: they say how to look for words")


def _check_plan(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    asked = request_of(given, datetime.now(UTC))
    if asked.filter.ByteSize() or asked.selection.ByteSize():
        parser.error("--plan-id goes without options that say which records: the plan has frozen them")


def _check_pairs(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    preferences = given.format in _PREFERENCES
    if given.pairs and not preferences:
        parser.error(f"--pairs needs a format of preferences: --format {' or '.join(sorted(_PREFERENCES))}")
    if given.pairs_by and not (preferences or given.format == "trl_kto" or given.prefer_demonstration):
        parser.error("--pairs-by needs a format of preferences, trl_kto or --prefer-demonstration")
    if given.pairs_by and preferences and given.pairs is None and not given.prefer_demonstration:
        parser.error("--pairs-by needs --pairs: demonstration or score")
    if given.min_gap and given.pairs != "score":
        parser.error("--min-gap needs --pairs score: it is the least difference of two scores")
    if given.format == "trl_kto" and not given.pairs_by:
        parser.error("--format trl_kto needs --pairs-by: the name of the feedback that labels the answers")


def request_of(given: argparse.Namespace, now: datetime) -> ExportRequest:
    """The request that the options mean; what is said to be so long ago is so long before `now`."""
    wanted = filter_of(given, now)
    if given.filter is not None:
        wanted.MergeFrom(given.filter)
    return ExportRequest(
        filter=wanted,
        selection=_selection(given),
        output=_output(given),
        plan_id=given.plan_id,
        plan_only=given.plan,
        max_bytes_per_second=given.max_rate,
    )


def _selection(given: argparse.Namespace) -> ExportSelection:
    selection = ExportSelection(
        leaves_only=given.leaves_only,
        deduplication=_DEDUPLICATIONS.get(given.deduplicate, DEDUPLICATION_UNSPECIFIED),
        sample=given.sample,
        order=EXPORT_ORDER_SHUFFLED if given.shuffle else EXPORT_ORDER_UNSPECIFIED,
        seed=given.seed,
        limit=given.limit,
        include_no_training=given.include_no_training,
    )
    if given.stratify_by:
        selection.sample.stratify_by_label = given.stratify_by
    if given.validation or given.test:
        split = Split(
            validation_fraction=given.validation,
            test_fraction=given.test,
            group_by=_GROUPS.get(given.group_by, SPLIT_GROUP_UNSPECIFIED),
        )
        selection.split.CopyFrom(split)
    if given.pairs or given.pairs_by or given.min_gap:
        pairs = PreferencePairs(
            source=_PAIRS.get(given.pairs, PAIR_SOURCE_UNSPECIFIED), feedback_name=given.pairs_by, min_gap=given.min_gap
        )
        selection.pairs.CopyFrom(pairs)
    return selection


def _output(given: argparse.Namespace) -> ExportOutput:
    output = ExportOutput(
        format=FORMATS[given.format],
        part=_PARTS.get(given.part, SPLIT_PART_UNSPECIFIED),
        reasoning=_REASONING.get(given.reasoning, REASONING_OUTPUT_UNSPECIFIED),
        prefer_demonstration=given.prefer_demonstration,
        drop_system=given.drop_system,
        merge_turns=given.merge_turns,
        max_tokens_per_record=given.max_tokens,
        compression=_COMPRESSIONS.get(given.compress, EXPORT_COMPRESSION_UNSPECIFIED),
        fail_on_invalid=given.fail_on_invalid,
    )
    if given.redact:
        output.redaction.mode = _REDACTIONS[given.redact]
    if given.redact_class:
        output.redaction.classes.extend(given.redact_class)  # without a mode the server refuses them
    return output


def _folder(text: str) -> Path:
    folder = Path(text)
    if folder.name in {"", ".."}:
        # It comes beside itself as NAME.partial, and is renamed at the end.
        raise argparse.ArgumentTypeError(f"not a folder with a name: {text!r}; say what it shall be called")
    return folder


def _filter_file(name: str) -> ExportFilter:
    try:
        text = Path(name).read_text(encoding="utf-8")
        # protobuf takes an empty list or text for a message without fields: a filter that every record passes.
        if not text.lstrip().startswith("{"):
            raise argparse.ArgumentTypeError(f"{name}: not a JSON object, as an ExportFilter is")
        return Parse(text, ExportFilter())
    except (OSError, ParseError, UnicodeError) as error:
        raise argparse.ArgumentTypeError(f"{name}: {error}") from None


def _sample(text: str) -> Sample:
    if text.isascii() and text.isdecimal():
        return Sample(count=_whole(text))
    return Sample(fraction=_share(text))


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"not a share from 0 to 1: {text!r}")
    return share


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"not a whole number: {text!r}")
    return int(text)


def _count(text: str) -> int:
    """At least one: to the proxy 0 means that there is no limit, which nobody means who writes one."""
    if (count := _whole(text)) == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def _seed(text: str) -> int:
    if not (re.fullmatch(r"-?\d{1,19}", text, re.ASCII) and -(2**63) <= int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"not a whole number of 64 bits: {text!r}")
    return int(text)


def _size(text: str) -> int:
    parts = re.fullmatch(r"(\d{1,12})([kmg]?)b?", text.lower())
    if parts is None:
        raise argparse.ArgumentTypeError(f"not a number of bytes: {text!r}; say 50M")
    return int(parts[1]) * _SIZES[parts[2]]
