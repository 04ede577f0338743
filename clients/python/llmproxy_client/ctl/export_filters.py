"""The options of `llmproxyctl export` that say which records, and what they mean in a request."""

import argparse
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import grpc
from google.protobuf.descriptor import EnumDescriptor

from llmproxy_client.v1.export_pb2 import (
    LABEL_OPERATOR_EXISTS,
    LABEL_OPERATOR_IN,
    LABEL_OPERATOR_NOT_IN,
    LABEL_OPERATOR_PREFIX,
    ExportFilter,
    FeedbackCondition,
    LabelCondition,
    NumberCondition,
    NumberField,
    TextCondition,
)
from llmproxy_client.v1.generation_pb2 import FinishReason

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COMPARISON: Final = re.compile(r"(.+?)(>=|<=|=)(.+)", re.DOTALL)
_LABEL: Final = re.compile(r"(.*?)(?:(!=|\^=|=)(.*))?", re.DOTALL)
_LABEL_OPERATORS: Final = {"!=": LABEL_OPERATOR_NOT_IN, "^=": LABEL_OPERATOR_PREFIX, "=": LABEL_OPERATOR_IN}
_NUMBERS: Final = {name.removeprefix("NUMBER_FIELD_").lower(): number for name, number in NumberField.items() if number}
_CODES: Final = {code.name.lower(): code.value[0] for code in grpc.StatusCode}


def add_filters(parser: argparse.ArgumentParser) -> "argparse._ArgumentGroup":
    """Adds the options, and returns their group; all that are given must hold, of a repeated one any."""
    group = parser.add_argument_group("which records", "All that is given must hold; of a repeated option, any.")

    def listed(name: str, help_: str, metavar: str, kind: Callable[[str], object] = str) -> None:
        group.add_argument(f"--{name}", action="append", default=[], metavar=metavar, type=kind, help=help_)

    group.add_argument("--since", metavar="TIME", type=moment, help="started at or after: 7d, or ISO 8601")
    group.add_argument("--until", metavar="TIME", type=moment, help="started before")
    group.add_argument(
        "--after-seq", metavar="N", type=position, default=0, help="as_of_seq of the export before: what is new since"
    )
    listed("record", "this record", "ID")
    listed("model", "asked by this name", "MODEL")
    listed("provider", "answered by this provider", "NAME")
    listed("upstream-model", "answered by this upstream model", "MODEL")
    listed("method", "made by this RPC; without it Chat and Stream", "RPC")
    listed("code", "ended with this gRPC code, such as ok; without it ok alone", "CODE", grpc_code)
    listed("finish-reason", "ended for this reason, such as stop", "REASON", _enumerated(FinishReason.DESCRIPTOR))
    listed("end-user", "of this end user", "ID")
    listed("conversation", "of this conversation", "ID")
    listed("caller-key", "made with this caller key, by its public id", "ID")
    listed("label", "KEY, KEY=A,B, KEY!=A,B or KEY^=PREFIX; of several all must hold", "CONDITION", label_condition)
    listed(
        "feedback",
        "NAME, NAME=up, NAME=down, NAME>=SCORE, NAME<=SCORE or NAME=demonstration; all must hold",
        "CONDITION",
        feedback_condition,
    )
    listed("where", f"FIELD>=N or FIELD<=N; FIELD is {', '.join(_NUMBERS)}", "CONDITION", number_condition)
    listed("contains", "has these words; all must hold", "TEXT")
    listed("not-contains", "has not these words", "TEXT")
    for name, what in (("tools", "tool calls"), ("media", "pictures, sound, video or documents")):
        group.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=f"has {what}, or not")
    group.add_argument(
        "--fell-back",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="answered by another target than the first, or not",
    )
    return group


def filter_of(given: argparse.Namespace, now: datetime) -> ExportFilter:
    """The filter that the options mean; `7d` is so long before `now`."""
    found = ExportFilter(
        after_seq=given.after_seq,
        record_ids=given.record,
        models=given.model,
        providers=given.provider,
        upstream_models=given.upstream_model,
        methods=given.method,
        grpc_codes=given.code,
        finish_reasons=given.finish_reason,
        end_user_ids=given.end_user,
        conversation_ids=given.conversation,
        caller_key_ids=given.caller_key,
        labels=given.label,
        feedback=given.feedback,
        numbers=given.where,
        texts=[
            *(TextCondition(contains=words) for words in given.contains),
            *(TextCondition(contains=words, negate=True) for words in given.not_contains),
        ],
        has_tool_calls=given.tools,
        has_media=given.media,
        fell_back=given.fell_back,
    )
    if given.since is not None:
        found.start_time.FromDatetime(_at(given.since, now))
    if given.until is not None:
        found.end_time.FromDatetime(_at(given.until, now))
    return found


def moment(text: str) -> datetime | timedelta:
    """A time: ISO 8601, in this machine's zone if it names none, or so long ago, such as `90m`, `12h`, `7d`, `2w`."""
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if ago:
        return timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"not a time: {text!r}; say 7d or 2026-01-31T12:00:00Z") from None


def _at(when: datetime | timedelta, now: datetime) -> datetime:
    return now - when if isinstance(when, timedelta) else when


def position(text: str) -> int:
    """A position in the store."""
    if not (text.isascii() and text.isdecimal() and int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"not a position: {text!r}; manifest.json has it as as_of_seq")
    return int(text)


def grpc_code(text: str) -> int:
    """A gRPC code, by name in any case or by number."""
    if text.lower() in _CODES:
        return _CODES[text.lower()]
    if text.isascii() and text.isdecimal() and int(text) in _CODES.values():
        return int(text)
    raise argparse.ArgumentTypeError(f"not a gRPC code: {text!r}; one of {', '.join(_CODES)}")


def label_condition(text: str) -> LabelCondition:
    """A condition on a label: `KEY`, `KEY=A,B`, `KEY!=A,B` or `KEY^=PREFIX`."""
    key, sign, values = _LABEL.fullmatch(text).groups()  # type: ignore[union-attr]  # it matches every text
    if not key:
        raise argparse.ArgumentTypeError(f"the label's key is empty: {text!r}; say KEY, or KEY=VALUE")
    if sign is None:
        return LabelCondition(key=key, operator=LABEL_OPERATOR_EXISTS)
    return LabelCondition(key=key, operator=_LABEL_OPERATORS[sign], values=values.split(","))


def feedback_condition(text: str) -> FeedbackCondition:
    """A condition on feedback: `NAME`, `NAME=up`, `NAME=down`, `NAME=demonstration`, `NAME>=0.5` or `NAME<=0.5`."""
    parts = _COMPARISON.fullmatch(text)
    if parts is None:
        if not text or any(sign in text for sign in "<>="):
            raise argparse.ArgumentTypeError(
                f"not a condition on feedback: {text!r}; say NAME, NAME=up, NAME=down, NAME>=0.5 or NAME<=0.5"
            )
        return FeedbackCondition(name=text)
    name, sign, value = parts.groups()
    if sign == ">=":
        return FeedbackCondition(name=name, min_score=finite(value))
    if sign == "<=":
        return FeedbackCondition(name=name, max_score=finite(value))
    if value == "demonstration":
        return FeedbackCondition(name=name, has_demonstration=True)
    if value in {"up", "down"}:
        return FeedbackCondition(name=name, thumbs_up=value == "up")
    raise argparse.ArgumentTypeError(f"not a judgement: {value!r}; say up, down or demonstration, or compare a score")


def number_condition(text: str) -> NumberCondition:
    """A condition on a number: `output_tokens>=10`, or `<=`."""
    parts = _COMPARISON.fullmatch(text)
    if parts is None or parts[1] not in _NUMBERS or parts[2] == "=":
        raise argparse.ArgumentTypeError(
            f"not a condition: {text!r}; say FIELD>=N or FIELD<=N of {', '.join(_NUMBERS)}"
        )
    bound = finite(parts[3])
    if parts[2] == ">=":
        return NumberCondition(field=_NUMBERS[parts[1]], min=bound)
    return NumberCondition(field=_NUMBERS[parts[1]], max=bound)


def finite(text: str) -> float:
    """A number that is one: neither infinite nor NaN."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"not a number: {text!r}")
    return value


def _enumerated(descriptor: EnumDescriptor) -> Callable[[str], int]:
    """Reads a value of an enumeration by its short name in any case."""
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    names = {name.removeprefix(prefix).lower(): value.number for name, value in descriptor.values_by_name.items()}
    names.pop("unspecified")

    def read(text: str) -> int:
        if text.lower() not in names:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(names)}")
        return names[text.lower()]

    return read
