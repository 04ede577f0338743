"""The rules of a filter of records, nested ones included."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct

from llmproxy_grpc._gen.v1 import content_pb2, export_pb2, generation_pb2, llm_proxy_service_pb2
from llmproxy_grpc.records.filters import DEEPEST, MOST_FILTERS
from llmproxy_grpc.server.validation import bounds
from llmproxy_grpc.server.validation.findings import Findings
from llmproxy_grpc.server.validation.rules import check_required_word, check_word

_V = TypeVar("_V")

_METHODS: Final = frozenset(llm_proxy_service_pb2.DESCRIPTOR.services_by_name["LlmProxyService"].methods_by_name)
_CODES: Final = range(17)
_FINISH_REASONS: Final = frozenset(generation_pb2.FinishReason.values()) - {0}
_ROLES: Final = frozenset(content_pb2.Role.values()) - {0}
_OPERATORS: Final = frozenset(export_pb2.LabelOperator.values())
_NUMBERS: Final = frozenset(export_pb2.NumberField.values()) - {0}
_EXISTS: Final = {export_pb2.LABEL_OPERATOR_UNSPECIFIED, export_pb2.LABEL_OPERATOR_EXISTS}
_POSITIONS: Final = ("after_seq", "as_of_seq", "as_of_feedback_seq")
_WORDS: Final[Sequence[tuple[str, int]]] = (
    ("models", bounds.MAX_MODEL),
    ("providers", bounds.MAX_PROVIDER),
    ("upstream_models", bounds.MAX_MODEL),
    ("end_user_ids", bounds.MAX_ID),
    ("conversation_ids", bounds.MAX_ID),
    ("caller_key_ids", bounds.MAX_ID),
)
_MOST_ROLES: Final = 16
"""More than there are: one wrong one is named as well as a million."""
_LATEST: Final = 253_402_300_799
"""The last second of the year 9999."""


class _Left(Struct):
    """How much a request may still ask for."""

    filters: int = MOST_FILTERS
    values: int = bounds.MAX_FILTER_VALUES
    conditions: int = bounds.MAX_CONDITIONS
    texts: int = bounds.MAX_SOUGHT_TEXTS


def check_filter(found: Findings, path: str, asked: export_pb2.ExportFilter) -> None:
    """Checks the outermost filter and all within it; paths are such as `filter.any_of[0].models[1]`."""
    _check_positions(found, path, asked)
    _check_one(found, path, asked, depth=1, left=_Left())


def _check_positions(found: Findings, path: str, asked: export_pb2.ExportFilter) -> None:
    for name in _POSITIONS:
        if getattr(asked, name) < 0:
            found.add(f"{path}.{name}", "must not be negative")
    if 0 < asked.as_of_seq < asked.after_seq:
        found.add(f"{path}.as_of_seq", "must not be before after_seq")


def _check_one(found: Findings, path: str, asked: export_pb2.ExportFilter, *, depth: int, left: _Left) -> None:
    left.filters -= 1
    if left.filters == -1:
        found.add(path, f"is one filter too many: {MOST_FILTERS} at most in all")
    if left.filters < 0:
        return
    _check_times(found, path, asked)
    _check_lists(found, path, asked, left)
    _check_conditions(found, path, asked, left)
    for name in ("any_of", "none_of"):
        for index, inner in enumerate(getattr(asked, name)):
            inner_path = f"{path}.{name}[{index}]"
            if depth == DEEPEST:
                found.add(inner_path, f"is nested too deeply: {DEEPEST} levels at most")
                return
            for position in _POSITIONS:
                if getattr(inner, position):
                    found.add(f"{inner_path}.{position}", "must be set in the outermost filter alone")
            _check_one(found, inner_path, inner, depth=depth + 1, left=left)
            if left.filters < 0:
                return


def _check_times(found: Findings, path: str, asked: export_pb2.ExportFilter) -> None:
    for name in ("start_time", "end_time"):
        if asked.HasField(name) and not _is_time(getattr(asked, name)):
            found.add(f"{path}.{name}", "must be a valid time from 1970 to 9999")
            return
    if asked.HasField("start_time") and asked.HasField("end_time"):
        start, end = asked.start_time, asked.end_time
        if (end.seconds, end.nanos) < (start.seconds, start.nanos):
            found.add(f"{path}.end_time", "must not be before start_time")


def _is_time(time: Timestamp) -> bool:
    return 0 <= time.seconds <= _LATEST and 0 <= time.nanos < 1_000_000_000


def _check_lists(found: Findings, path: str, asked: export_pb2.ExportFilter, left: _Left) -> None:
    for name, longest in _WORDS:
        for at, word in _items(found, f"{path}.{name}", getattr(asked, name), left):
            check_required_word(found, at, word, longest)
    for name, is_known, advice in _KNOWN:
        for at, value in _items(found, f"{path}.{name}", getattr(asked, name), left):
            if not is_known(value):
                found.add(at, advice)


def _items(found: Findings, path: str, values: Sequence[_V], left: _Left) -> Iterator[tuple[str, _V]]:
    """The values with their paths; none if there are more than the whole request may have."""
    left.values -= len(values)
    if left.values < 0:
        found.add(path, f"has too many values: {bounds.MAX_FILTER_VALUES} at most in all filters")
        left.values = 0
        return
    for index, value in enumerate(values):
        yield f"{path}[{index}]", value


def _is_record_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


_KNOWN: Final[Sequence[tuple[str, Callable[[Any], bool], str]]] = (
    ("record_ids", _is_record_id, "must be the id of a record: a UUID"),
    ("methods", _METHODS.__contains__, "must be an RPC of the service, such as Chat"),
    ("grpc_codes", _CODES.__contains__, "must be a gRPC code, from 0 to 16"),
    ("finish_reasons", _FINISH_REASONS.__contains__, "must be a finish reason that this version knows"),
)


def _check_conditions(found: Findings, path: str, asked: export_pb2.ExportFilter, left: _Left) -> None:
    # Each is a look into the store of its own.
    for name in ("labels", "feedback", "numbers"):
        left.conditions -= len(getattr(asked, name))
        if left.conditions < 0:
            found.add(f"{path}.{name}", f"has too many conditions: {bounds.MAX_CONDITIONS} at most in all filters")
            left.conditions = 0
            return
    for at, label in _items(found, f"{path}.labels", asked.labels, left):
        _check_label(found, at, label, left)
    for at, feedback in _items(found, f"{path}.feedback", asked.feedback, left):
        _check_feedback(found, at, feedback)
    for at, number in _items(found, f"{path}.numbers", asked.numbers, left):
        _check_number(found, at, number)
    # Each reads all that was said, of every record that the rest of the filter leaves.
    left.texts -= len(asked.texts)
    if left.texts < 0:
        found.add(f"{path}.texts", f"has too many conditions: {bounds.MAX_SOUGHT_TEXTS} at most in all filters")
        left.texts = 0
        return
    for at, text in _items(found, f"{path}.texts", asked.texts, left):
        _check_text(found, at, text)


def _check_label(found: Findings, path: str, label: export_pb2.LabelCondition, left: _Left) -> None:
    check_required_word(found, f"{path}.key", label.key, bounds.MAX_LABEL_KEY)
    if label.operator not in _OPERATORS:
        found.add(f"{path}.operator", "must be a comparison that this version knows")
    elif label.operator in _EXISTS:
        if label.values:
            found.add(f"{path}.values", "must be empty where only the label's being there is asked for")
    elif not label.values:
        found.add(f"{path}.values", "is required for this comparison")
    for at, value in _items(found, f"{path}.values", label.values, left):
        if len(value) > bounds.MAX_LABEL_VALUE:
            found.add(at, f"must be at most {bounds.MAX_LABEL_VALUE} characters long")


def _check_feedback(found: Findings, path: str, asked: export_pb2.FeedbackCondition) -> None:
    check_required_word(found, f"{path}.name", asked.name, bounds.MAX_NAME)
    check_word(found, f"{path}.source", asked.source, bounds.MAX_ID)
    _check_range(found, path, asked, ("min_score", "max_score"))


def _check_number(found: Findings, path: str, asked: export_pb2.NumberCondition) -> None:
    if asked.field not in _NUMBERS:
        found.add(f"{path}.field", "is required: a number that this version knows")
    if not asked.HasField("min") and not asked.HasField("max"):
        found.add(path, "must have a min or a max")
    _check_range(found, path, asked, ("min", "max"))


def _check_range(
    found: Findings,
    path: str,
    asked: export_pb2.FeedbackCondition | export_pb2.NumberCondition,
    names: tuple[str, str],
) -> None:
    """Both ends of a range, where they are set: numbers, the right way round."""
    low, high = (getattr(asked, name) if asked.HasField(name) else None for name in names)  # type: ignore[arg-type]
    for name, value in zip(names, (low, high), strict=True):
        if value is not None and not math.isfinite(value):
            found.add(f"{path}.{name}", "must be a finite number")
            return
    if low is not None and high is not None and high < low:
        found.add(f"{path}.{names[1]}", f"must not be less than {names[0]}")


def _check_text(found: Findings, path: str, asked: export_pb2.TextCondition) -> None:
    if not asked.contains:
        found.add(f"{path}.contains", "is required")
    elif len(asked.contains) > bounds.MAX_SOUGHT_TEXT:
        found.add(f"{path}.contains", f"must be at most {bounds.MAX_SOUGHT_TEXT} characters long")
    for index, role in enumerate(asked.roles[:_MOST_ROLES]):
        if role not in _ROLES:
            found.add(f"{path}.roles[{index}]", "must be a role that this version knows")
