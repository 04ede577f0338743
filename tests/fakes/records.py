"""Records as the ingester makes them, with whatever a test wants to be different."""

import json
from itertools import count
from typing import Any

from msgspec.structs import FieldInfo, fields

from llmproxy_grpc.records.record import Body, Entry, Feedback, FeedbackKind, Record
from llmproxy_grpc.records.store import Page, RecordReader

_numbers = count(1)
DAY = 86_400_000_000


def an_id(number: int | None = None) -> bytes:
    """An id as a call has it: greater numbers are later."""
    return (next(_numbers) + 2**60 if number is None else number).to_bytes(16)


def a_record(**different: Any) -> Record:
    """The figures of an ordinary Chat; `labels` may be a dict."""
    labels = different.pop("labels", None)
    values: dict[str, Any] = {
        "id": an_id(),
        "tenant": "default",
        "method": "Chat",
        "started_at": 1_000,
        "ended_at": 2_000,
        "model": "assistant",
        "provider": "openai",
        "upstream_model": "gpt",
        "attempts": 1,
        "grpc_code": 0,
        "complete": True,
        "finish_reasons": 1 << 1,
        "latency_us": 1_000,
        "messages": 2,
        "labels": json.dumps(labels, sort_keys=True) if labels else "",
    }
    return Record(**{**values, **different})


def an_entry(body: Body | None = None, **different: Any) -> Entry:
    """A record with its content."""
    return Entry(a_record(**different), body or Body(b"request", b"response"))


def a_judgement(record_id: bytes, **different: Any) -> Feedback:
    """A thumb up."""
    values: dict[str, Any] = {
        "id": an_id(),
        "tenant": "default",
        "record_id": record_id,
        "name": "helpful",
        "kind": FeedbackKind.THUMBS,
        "number": 1.0,
        "source": "user",
        "created_at": 3_000,
    }
    return Feedback(**{**values, **different})


def rows_of(reader: RecordReader, page: Page) -> list[Record]:
    """The rows of a page, whole, in the order of their positions."""
    rows = reader.columns(page, Record.__struct_fields__)
    return [Record(**dict(map(_value, fields(Record), row))) for row in rows]


def _value(field: FieldInfo, value: Any) -> tuple[str, Any]:
    # SQLite has a number where there is a truth.
    return field.name, bool(value) if field.type is bool else value
