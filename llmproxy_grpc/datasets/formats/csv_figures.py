"""CSV: one line of figures for each record, without what was said."""

from collections.abc import Mapping
from typing import Final

import msgspec

from llmproxy_grpc.datasets.example import Example, Feedback
from llmproxy_grpc.datasets.formats.api_json import time_json
from llmproxy_grpc.datasets.options import Options
from llmproxy_grpc.messages import Message, ToolCallPart, Usage

_COLUMNS: Final = (
    *("id", "seq", "start_time", "latency_seconds", "time_to_first_token_seconds", "method", "model", "provider"),
    *("upstream_model", "cache_hit", "failed_attempts", "grpc_code", "error_reason", "finish_reason", "messages"),
    *("tool_calls", "input_tokens", "output_tokens", "total_tokens", "cached_input_tokens", "cache_write_input_tokens"),
    *("reasoning_tokens", "usage_source", "cost", "currency", "caller_key_id", "end_user_id", "conversation_id"),
    *("labels", "feedback"),
)
HEADER: Final = ",".join(_COLUMNS).encode() + b"\n"

_Cell = str | int | float | bool | None
# Full-width ones too, which some spreadsheets of East Asia take for the others.
_FORMULA: Final = (*"=+-@", *"\uff1d\uff0b\uff0d\uff20")
_NANOS: Final = 1_000_000_000


def render(example: Example, options: Options) -> bytes:  # noqa: ARG001 - the figures are what they are
    """Writes the figures of an example; an unknown one is an empty cell. No option changes them."""
    request, figures = example.request, example.figures
    failure = figures.failure
    answers = [candidate.message for candidate in example.candidates]
    calls = sum(isinstance(part, ToolCallPart) for message in answers for part in message.parts)
    kept = example.content_kept
    cells: tuple[_Cell, ...] = (
        *(example.id, example.seq, time_json(figures.started_us)),
        *(_seconds(figures.latency_us), _seconds(figures.first_token_us)),
        *(figures.method, request.model, figures.provider, figures.upstream_model, figures.cache_hit if kept else None),
        *(len(figures.failed_attempts) if kept else None, figures.grpc_code),
        *("" if failure is None else failure.reason, _finish_reason(example)),
        *(len(request.messages) + len(answers[:1]) if kept else None, calls if kept else None),
        *_usage(figures.usage),
        *(figures.caller_key_id, request.end_user_id, figures.conversation_id or request.conversation_id),
        *(_json(request.labels), _json(_judgements(example.feedback))),
    )
    return ",".join(map(_cell, cells)).encode() + b"\n"


def _finish_reason(example: Example) -> str:
    """Of the first candidate; which of several reasons that was is not known without the content."""
    if example.candidates:
        return example.candidates[0].finish_reason.name
    reasons = example.figures.finish_reasons
    return reasons[0].name if len(reasons) == 1 else ""


def _usage(usage: Usage | None) -> tuple[_Cell, ...]:
    if usage is None:
        return (None,) * 9
    cost = usage.cost
    return (
        *(usage.input_tokens, usage.output_tokens, usage.total_tokens),
        *(usage.cached_input_tokens, usage.cache_write_input_tokens, usage.reasoning_tokens, usage.source.name),
        None if cost is None else f"{cost.amount_nanos / _NANOS:.9f}",
        None if cost is None else cost.currency_code,
    )


def _judgements(feedback: tuple[Feedback, ...]) -> Mapping[str, bool | float]:
    # Comments and demonstrations are content.
    return {each.name: each.value for each in feedback if not isinstance(each.value, str | Message)}


def _json(values: Mapping[str, object]) -> str:
    return msgspec.json.encode(values, order="sorted").decode() if values else ""


def _seconds(micros: int | None) -> str:
    return "" if micros is None else f"{micros / 1_000_000:.6f}"


def _cell(value: _Cell) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case _:
            return str(value)


def _text(text: str) -> str:
    """One line, and no formula: spreadsheets run cells that begin like one, and callers choose these texts."""
    if text.lstrip().startswith(_FORMULA):
        text = f"'{text}"
    text = " ".join(text.splitlines())
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"') else text
