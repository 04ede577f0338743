"""Filters as SQL conditions on `record r`, in words that SQLite and PostgreSQL share, every value a parameter.

What only the content can tell, the words of a conversation, SQL leaves open: the condition then holds for every record
that may match, and `matching` decides. The rows that a label or a judgement names are sought first, by their indexes,
within the window.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from llmproxy_grpc.records.filters import FeedbackCondition, Filter, LabelCondition, LabelOperator, Window
from llmproxy_grpc.records.matching import (
    asks_for_being_there,
    asks_for_score,
    number_bounds,
    reason_bits,
    score_bounds,
    thumbs_bounds,
)
from llmproxy_grpc.records.record import FeedbackKind, parse_id
from llmproxy_grpc.records.store import Condition

_LATEST = (
    "NOT EXISTS (SELECT 1 FROM feedback g WHERE g.record_id = f.record_id AND g.tenant = f.tenant AND g.name = f.name"
    " AND g.kind = f.kind AND g.source = f.source AND g.fseq > f.fseq AND g.fseq <= ?)"
)
_HIGHEST_CHARACTER = "\U0010ffff"
_WIDEST = 32
"""Pieces that stand side by side: SQLite nests them one in the other, and takes no more than 1000 levels."""


class _Sql(Struct, frozen=True):
    """A piece of SQL and the values of its question marks, in their order."""

    text: str
    values: Sequence[object] = ()


def condition(asked: Filter, window: Window) -> Condition:
    """The condition that holds for every record of the window which may meet the filter.

    It holds for those alone unless the filter reads text.
    """
    whole = _filter(asked, window, when_open=True)
    return Condition(whole.text, whole.values)


def _filter(asked: Filter, window: Window, *, when_open: bool) -> _Sql:
    """One filter; `when_open` is what a condition on words counts as: true outside of a negation, false within."""
    parts = [
        *_times(asked),
        *_lists(asked),
        *_whose(asked, window),
        *_flags(asked),
        *(_label(each, window) for each in asked.labels),
        *(sql for each in asked.feedback for sql in _feedback(each, window)),
        *(_number(*number_bounds(each)) for each in asked.numbers),
    ]
    if asked.texts and not when_open:
        parts.append(_Sql("FALSE"))
    if asked.any_of:
        parts.append(_joined(" OR ", [_filter(inner, window, when_open=when_open) for inner in asked.any_of]))
    for inner in asked.none_of:
        sql = _filter(inner, window, when_open=not when_open)
        parts.append(_Sql(f"NOT {sql.text}", sql.values))
    return _joined(" AND ", parts)


def _joined(word: str, parts: Sequence[_Sql]) -> _Sql:
    if not parts:
        return _Sql("(TRUE)")
    while len(parts) > _WIDEST:
        parts = [_joined(word, parts[at : at + _WIDEST]) for at in range(0, len(parts), _WIDEST)]
    values = [value for part in parts for value in part.values]
    return _Sql(f"({word.join(part.text for part in parts)})", values)


def _times(asked: Filter) -> Iterable[_Sql]:
    if asked.start_us is not None:
        yield _Sql("r.started_at >= ?", [asked.start_us])
    if asked.end_us is not None:
        yield _Sql("r.started_at < ?", [asked.end_us])


def _lists(asked: Filter) -> Iterable[_Sql]:
    lists: Sequence[tuple[str, Sequence[object]]] = (
        ("id", [parse_id(text) for text in asked.record_ids]),
        ("model", asked.models),
        ("provider", asked.providers),
        ("upstream_model", asked.upstream_models),
        ("grpc_code", asked.grpc_codes),
        ("caller_key_id", asked.caller_key_ids),
        ("method", asked.methods),
    )
    for column, values in lists:
        if values:
            yield _Sql(f"r.{column} IN ({_marks(values)})", values)
    if asked.finish_reasons:
        yield _Sql("(r.finish_reasons & ?) <> 0", [reason_bits(asked.finish_reasons)])


def _whose(asked: Filter, window: Window) -> Iterable[_Sql]:
    """Conversations and end users: few records each, so that they are sought first."""
    for column, values, indexed in (
        ("conversation", asked.conversation_ids, ""),
        ("end_user", asked.end_user_ids, " AND w.end_user <> ''"),
    ):
        if values:
            sql = (
                f"r.seq IN (SELECT w.seq FROM record w WHERE w.tenant = ? AND w.{column} IN ({_marks(values)}){indexed}"  # noqa: S608 - no value is in it
                " AND w.seq > ? AND w.seq <= ?)"
            )
            yield _Sql(sql, [window.tenant, *values, window.after_seq, window.as_of_seq])


def _flags(asked: Filter) -> Iterable[_Sql]:
    for column in ("has_tool_calls", "has_media", "fell_back"):
        wanted = getattr(asked, column)
        if wanted is not None:
            yield _Sql(f"r.{column} IS {'TRUE' if wanted else 'FALSE'}")


def _label(asked: LabelCondition, window: Window) -> _Sql:
    values: list[object] = [window.tenant, asked.key]
    test = ""
    if asked.operator in (LabelOperator.IN, LabelOperator.NOT_IN):
        word = "IN" if asked.operator == LabelOperator.IN else "NOT IN"
        test = f" AND l.value {word} ({_marks(asked.values)})"
        values += asked.values
    elif asked.operator == LabelOperator.PREFIX:
        ranges = _joined(" OR ", [_starting_with(prefix) for prefix in asked.values])
        test = f" AND {ranges.text}"
        values += ranges.values
    values += [window.after_seq, window.as_of_seq]
    sql = f"r.seq IN (SELECT l.seq FROM label l WHERE l.tenant = ? AND l.key = ?{test} AND l.seq > ? AND l.seq <= ?)"  # noqa: S608 - no value is in it
    return _Sql(sql, values)


def _starting_with(prefix: str) -> _Sql:
    """A range of texts, which an index can seek: from the prefix up to the first text behind all that begin with it."""
    stem = prefix.rstrip(_HIGHEST_CHARACTER)
    if not stem:
        return _Sql("l.value >= ?", [prefix])
    following = ord(stem[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:
        following = 0xE000  # no text has half a pair
    return _Sql("(l.value >= ? AND l.value < ?)", [prefix, stem[:-1] + chr(following)])


def _feedback(asked: FeedbackCondition, window: Window) -> Iterable[_Sql]:
    if asks_for_being_there(asked):
        yield _judged(asked, window, "", [])
    if asked.thumbs_up is not None:
        yield _judged(asked, window, *_numbered(FeedbackKind.THUMBS, *thumbs_bounds(asked)))
    if asks_for_score(asked):
        yield _judged(asked, window, *_numbered(FeedbackKind.SCORE, *score_bounds(asked)))
    if asked.has_demonstration is not None:
        there = _judged(asked, window, " AND f.kind = ?", [int(FeedbackKind.DEMONSTRATION)])
        yield there if asked.has_demonstration else _Sql(f"NOT ({there.text})", there.values)


def _numbered(kind: FeedbackKind, low: float, high: float) -> tuple[str, list[object]]:
    test, values = " AND f.kind = ?", [int(kind)]
    bounds: list[object] = []
    if low != float("-inf"):
        test, bounds = f"{test} AND f.number >= ?", [low]
    if high != float("inf"):
        test, bounds = f"{test} AND f.number <= ?", [*bounds, high]
    return test, [*values, *bounds]


def _judged(asked: FeedbackCondition, window: Window, test: str, values: Sequence[object]) -> _Sql:
    """The records with a judgement of that name, the latest of its kind and source, that passes the test."""
    head: list[object] = [window.tenant, asked.name]
    source = ""
    if asked.source:
        source, values = " AND f.source = ?", [*values, asked.source]
    sql = (
        f"r.id IN (SELECT f.record_id FROM feedback f WHERE f.tenant = ? AND f.name = ?{test}{source}"  # noqa: S608 - no value is in it
        f" AND f.fseq <= ? AND {_LATEST})"
    )
    return _Sql(sql, [*head, *values, window.as_of_feedback_seq, window.as_of_feedback_seq])


def _number(column: str, low: int, high: int) -> _Sql:
    return _Sql(f"(r.{column} IS NOT NULL AND r.{column} >= ? AND r.{column} <= ?)", [low, high])


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
