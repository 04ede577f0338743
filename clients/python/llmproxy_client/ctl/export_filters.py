"""The options of `llmproxyctl export` that say which records, and what they mean in a request."""

import argparse
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import grpc
from google.protobuf.descriptor import EnumDescriptor

from llmproxy_client.v1.content_pb2 import Role
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
    _add_times(group)
    _add_listed(group, "record", "this record", "ID")
    _add_listed(group, "model", "asked by this name", "MODEL")
    _add_listed(group, "provider", "answered by this provider", "NAME")
    _add_listed(group, "upstream-model", "answered by this upstream model", "MODEL")
    _add_listed(group, "method", "made by this RPC; without it Chat and Stream", "RPC")
    _add_listed(group, "code", "ended with this gRPC code, such as ok; without it ok alone", "CODE", grpc_code)
    reason = _enumerated(FinishReason.DESCRIPTOR)
    _add_listed(group, "finish-reason", "ended for this reason, such as stop", "REASON", reason)
    _add_listed(group, "end-user", "of this end user", "ID")
    _add_listed(group, "conversation", "of this conversation", "ID")
    _add_listed(group, "caller-key", "made with this caller key, by its public id", "ID")
    labelled = "KEY, KEY=A,B, KEY!=A,B or KEY^=PREFIX; of several all must hold"
    _add_listed(group, "label", labelled, "CONDITION", label_condition)
    _add_feedback(group)
    numbered = f"FIELD>=N or FIELD<=N; FIELD is {', '.join(_NUMBERS)}"
    _add_listed(group, "where", numbered, "CONDITION", number_condition)
    _add_words(group)
    _add_either(group, "tools", "has tool calls")
    _add_either(group, "media", "has pictures, sound, video or documents")
    _add_either(group, "fell-back", "answered after an attempt at another target had failed")
    return group


def _add_times(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--since", metavar="TIME", type=moment, help="started at or after: 7d, or ISO 8601")
    group.add_argument("--until", metavar="TIME", type=moment, help="started before")
    for name, what in (
        ("after-seq", "as_of_seq of the export before: what is new since"),
        ("as-of-seq", "as_of_seq of an export that is to be made again"),
        ("as-of-feedback-seq", "its as_of_feedback_seq"),
    ):
        group.add_argument(f"--{name}", metavar="N", type=position, default=0, help=what)


def _add_feedback(group: "argparse._ArgumentGroup") -> None:
    judged = "NAME, NAME=up, NAME=down, NAME>=SCORE, NAME<=SCORE or NAME=demonstration; all must hold"
    _add_listed(group, "feedback", judged, "CONDITION", feedback_condition)
    group.add_argument("--feedback-source", metavar="SOURCE", default="", help="of each --feedback, only by this judge")


def _add_words(group: "argparse._ArgumentGroup") -> None:
    _add_listed(group, "contains", "has these words; all must hold", "TEXT")
    _add_listed(group, "not-contains", "has not these words", "TEXT")
    role = _enumerated(Role.DESCRIPTOR)
    _add_listed(group, "in-role", "of both, only in messages of this role, such as user", "ROLE", role)
    group.add_argument("--case-sensitive", action="store_true", help="of both, upper and lower case differ")


def _add_listed(
    group: "argparse._ArgumentGroup", name: str, help_: str, metavar: str, kind: Callable[[str], object] = str
) -> None:
    group.add_argument(f"--{name}", action="append", default=[], metavar=metavar, type=kind, help=help_)


def _add_either(group: "argparse._ArgumentGroup", name: str, what: str) -> None:
    group.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=f"{what}, or not")


def filter_of(given: argparse.Namespace, now: datetime) -> ExportFilter:
    """The filter that the options mean; `7d` is so long before `now`."""
    found = ExportFilter(
        after_seq=given.after_seq,
        as_of_seq=given.as_of_seq,
        as_of_feedback_seq=given.as_of_feedback_seq,
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
        texts=_texts(given),
        has_tool_calls=given.tools,
        has_media=given.media,
        fell_back=given.fell_back,
    )
    for condition in found.feedback:
        condition.source = given.feedback_source
    if given.since is not None:
        found.start_time.FromDatetime(_at(given.since, now))
    if given.until is not None:
        found.end_time.FromDatetime(_at(given.until, now))
    return found


def _texts(given: argparse.Namespace) -> list[TextCondition]:
    return [
        TextCondition(contains=words, negate=negate, roles=given.in_role, case_sensitive=given.case_sensitive)
        for listed, negate in ((given.contains, False), (given.not_contains, True))
        for words in listed
    ]


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
