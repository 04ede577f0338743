"""Whether one record meets a filter, by plain comparison: what the SQL of a filter must agree with."""

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from msgspec import Struct

from llmproxy_grpc.messages import Role
from llmproxy_grpc.records.filters import (
    FeedbackCondition,
    Filter,
    LabelCondition,
    LabelOperator,
    NumberCondition,
    NumberField,
    TextCondition,
)
from llmproxy_grpc.records.folding import fold, holds
from llmproxy_grpc.records.record import Feedback, FeedbackKind, Record, spell_id

LARGEST: Final = 2**63 - 1

COLUMNS: Final[Mapping[NumberField, tuple[str, int]]] = {
    NumberField.INPUT_TOKENS: ("input_tokens", 1),
    NumberField.OUTPUT_TOKENS: ("output_tokens", 1),
    NumberField.TOTAL_TOKENS: ("total_tokens", 1),
    NumberField.COST: ("cost_nanos", 1_000_000_000),
    NumberField.LATENCY_SECONDS: ("latency_us", 1_000_000),
    NumberField.TIME_TO_FIRST_TOKEN_SECONDS: ("ttft_us", 1_000_000),
    NumberField.MESSAGES: ("messages", 1),
    NumberField.BYTES: ("content_bytes", 1),
}
"""A number's name in Record, and how many of its units one of the API's has."""


class Facts(Struct, frozen=True):
    """All that a filter may ask of one record."""

    record: Record
    labels: Mapping[str, str] = {}
    feedback: Sequence[Feedback] = ()
    """The latest of each name, kind and source."""
    texts: Sequence[tuple[Role, str]] = ()
    """What was said, message by message, and by whom."""


def matches(asked: Filter, facts: Facts) -> bool:
    """Whether every condition holds."""
    return _matches(asked, facts, _Words(facts.texts))


def _matches(asked: Filter, facts: Facts, words: "_Words") -> bool:
    return (
        _in_time(asked, facts.record)
        and _among(asked, facts.record)
        and all(_label(condition, facts.labels) for condition in asked.labels)
        and all(_feedback(condition, facts.feedback) for condition in asked.feedback)
        and all(_number(condition, facts.record) for condition in asked.numbers)
        and all(words.meet(condition) for condition in asked.texts)
        and (not asked.any_of or any(_matches(inner, facts, words) for inner in asked.any_of))
        and not any(_matches(inner, facts, words) for inner in asked.none_of)
    )


def number_bounds(condition: NumberCondition) -> tuple[str, int, int]:
    """The column of a number, and the least and the largest value of it that meet the condition."""
    column, scale = COLUMNS[condition.field]
    low = -LARGEST if condition.min is None else _scaled(condition.min, scale, ROUND_CEILING)
    high = LARGEST if condition.max is None else _scaled(condition.max, scale, ROUND_FLOOR)
    return column, low, high


def reason_bits(reasons: Sequence[int]) -> int:
    """The bits of `Record.finish_reasons` that any of these reasons sets."""
    return sum({1 << reason for reason in reasons})


def _scaled(value: float, scale: int, rounding: str) -> int:
    """A number in a column's unit, as its decimal digits say: 0.1 seconds are 100000 microseconds exactly."""
    units = (Decimal(repr(value)) * scale).to_integral_value(rounding=rounding)
    return int(max(Decimal(-LARGEST), min(Decimal(LARGEST), units)))


def _in_time(asked: Filter, record: Record) -> bool:
    if asked.start_us is not None and record.started_at < asked.start_us:
        return False
    return asked.end_us is None or record.started_at < asked.end_us


def _among(asked: Filter, record: Record) -> bool:
    """Lists of values, and what is or is not the case."""
    lists = (
        (asked.record_ids, spell_id(record.id)),
        (asked.models, record.model),
        (asked.providers, record.provider),
        (asked.upstream_models, record.upstream_model),
        (asked.grpc_codes, record.grpc_code),
        (asked.end_user_ids, record.end_user),
        (asked.conversation_ids, record.conversation),
        (asked.caller_key_ids, record.caller_key_id),
        (asked.methods, record.method),
    )
    flags = (
        (asked.has_tool_calls, record.has_tool_calls),
        (asked.has_media, record.has_media),
        (asked.fell_back, record.fell_back),
    )
    return (
        all(not values or value in values for values, value in lists)
        and all(wanted is None or wanted == bool(value) for wanted, value in flags)
        and (not asked.finish_reasons or bool(record.finish_reasons & reason_bits(asked.finish_reasons)))
    )


def _label(condition: LabelCondition, labels: Mapping[str, str]) -> bool:
    value = labels.get(condition.key)
    if value is None:
        return False
    return _COMPARISONS[condition.operator](value, condition.values)


_COMPARISONS: Final[Mapping[LabelOperator, Callable[[str, tuple[str, ...]], bool]]] = {
    LabelOperator.EXISTS: lambda _value, _values: True,
    LabelOperator.IN: lambda value, values: value in values,
    LabelOperator.NOT_IN: lambda value, values: value not in values,
    LabelOperator.PREFIX: lambda value, values: value.startswith(values),
}


def _feedback(condition: FeedbackCondition, feedback: Sequence[Feedback]) -> bool:
    mine = [each for each in feedback if each.name == condition.name and condition.source in ("", each.source)]
    if asks_for_being_there(condition):
        return bool(mine)
    return all(
        (
            condition.thumbs_up is None or _any_number(mine, FeedbackKind.THUMBS, *thumbs_bounds(condition)),
            not asks_for_score(condition) or _any_number(mine, FeedbackKind.SCORE, *score_bounds(condition)),
            condition.has_demonstration is None
            or condition.has_demonstration == any(each.kind == FeedbackKind.DEMONSTRATION for each in mine),
        )
    )


def asks_for_being_there(condition: FeedbackCondition) -> bool:
    """Whether nothing but a judgement of that name is asked for."""
    return condition.thumbs_up is None and condition.has_demonstration is None and not asks_for_score(condition)


def asks_for_score(condition: FeedbackCondition) -> bool:
    """Whether a score is asked for."""
    return condition.min_score is not None or condition.max_score is not None


def thumbs_bounds(condition: FeedbackCondition) -> tuple[float, float]:
    """The least and largest number of a thumb that meets the condition."""
    wanted = 1.0 if condition.thumbs_up else 0.0
    return wanted, wanted


def score_bounds(condition: FeedbackCondition) -> tuple[float, float]:
    """The least and largest score that meets the condition."""
    low = float("-inf") if condition.min_score is None else condition.min_score
    return low, float("inf") if condition.max_score is None else condition.max_score


def _any_number(feedback: Sequence[Feedback], kind: FeedbackKind, low: float, high: float) -> bool:
    return any(each.kind == kind and each.number is not None and low <= each.number <= high for each in feedback)


def _number(condition: NumberCondition, record: Record) -> bool:
    column, low, high = number_bounds(condition)
    value = getattr(record, column)
    return value is not None and low <= value <= high


class _Words:
    """What was said, each text folded once at most: one record may be asked for many words, nested filters included."""

    __slots__ = ("_folded", "_texts")

    def __init__(self, texts: Sequence[tuple[Role, str]]) -> None:
        self._texts = texts
        self._folded: dict[int, str] = {}

    def meet(self, condition: TextCondition) -> bool:
        """Whether one condition holds."""
        form = self._as_said if condition.case_sensitive else self._without_case
        sought = condition.contains if condition.case_sensitive else fold(condition.contains)
        found = any(
            holds(form(index), sought)
            for index, (role, _) in enumerate(self._texts)
            if not condition.roles or role in condition.roles
        )
        return found != condition.negate

    def _as_said(self, index: int) -> str:
        return self._texts[index][1]

    def _without_case(self, index: int) -> str:
        text = self._folded.get(index)
        if text is None:
            text = self._folded[index] = fold(self._texts[index][1])
        return text
