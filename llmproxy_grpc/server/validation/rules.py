"""Rules for single values, whichever field they stand in: names, ids, durations, JSON."""

import re
from math import isfinite

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Struct
from msgspec import DecodeError, Raw
from msgspec.json import Decoder

from llmproxy_grpc.server.validation.bounds import MAX_CITATIONS, MAX_NAME, MAX_SCHEMA, MAX_STRUCT_VALUES, Range
from llmproxy_grpc.server.validation.findings import Findings
from llmproxy_grpc.wire.scalars import to_seconds

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_NAME}}}")

_MAX_NANOS = 999_999_999

# Reads the top level alone and only steps over what is inside.
_JSON_OBJECT = Decoder(dict[str, Raw])


def check_word(found: Findings, field: str, value: str, longest: int) -> None:
    """A name or id that others store or show: not too long, and without control characters."""
    if len(value) > longest:
        found.add(field, f"must be at most {longest} characters long")
    elif not value.isprintable() and _CONTROL.search(value):
        found.add(field, "must not contain control characters")


def check_required_word(found: Findings, field: str, value: str, longest: int) -> None:
    """The same, and not empty."""
    if not value or value.isspace():
        found.add(field, "is required")
    else:
        check_word(found, field, value, longest)


def check_name(found: Findings, field: str, value: str) -> None:
    """A name that providers take for functions and schemas."""
    if not value:
        found.add(field, "is required")
    elif not _NAME.fullmatch(value):
        found.add(field, f"must be 1 to {MAX_NAME} of A-Z a-z 0-9 _ . -")


def check_duration(found: Findings, field: str, value: Duration, allowed: Range) -> None:
    """A duration that is well-formed and within bounds."""
    seconds, nanos = value.seconds, value.nanos
    if abs(nanos) > _MAX_NANOS or seconds * nanos < 0:
        found.add(field, "is not a valid duration")
    elif not allowed.low <= to_seconds(value) <= allowed.high:
        found.add(field, f"must be from {allowed.low:g} to {allowed.high:g} seconds")


def check_number(found: Findings, field: str, value: float, allowed: Range) -> None:
    """A number within bounds; what is not a number is in none."""
    if not allowed.low <= value <= allowed.high:
        found.add(field, f"must be from {allowed.low:.15g} to {allowed.high:.15g}")


def check_json_object(found: Findings, field: str, text: str) -> None:
    """JSON text of an object, as a schema is."""
    if len(text) > MAX_SCHEMA:
        found.add(field, f"must be at most {MAX_SCHEMA} characters long")
        return
    try:
        _JSON_OBJECT.decode(text)
    except RecursionError:
        found.add(field, "is nested too deeply")
    except DecodeError:
        found.add(field, "must be a JSON object")


def check_struct(found: Findings, field: str, struct: Struct) -> None:
    """A Struct that JSON can carry, and that with the others of its request is no burden."""
    stack: list[Struct | ListValue] = [struct]
    while stack:
        holder = stack.pop()
        # Counted before any of them is looked at, which makes an object of each.
        found.values_left -= len(holder.fields) if isinstance(holder, Struct) else len(holder.values)
        if found.values_left < 0:
            found.values_left = 0
            found.add(field, f"must hold at most {MAX_STRUCT_VALUES} values, with all others of the request")
            return
        for value in holder.fields.values() if isinstance(holder, Struct) else holder.values:
            kind = value.WhichOneof("kind")
            if kind == "number_value" and not isfinite(value.number_value):
                found.add(field, "must not hold a number that is not finite")
                return
            if kind == "struct_value":
                stack.append(value.struct_value)
            elif kind == "list_value":
                stack.append(value.list_value)


def check_citations(found: Findings, field: str, count: int) -> None:
    """The citations of one part, no more than the request may still have."""
    found.citations_left -= count
    if found.citations_left < 0:
        found.citations_left = 0
        found.add(field, f"must be at most {MAX_CITATIONS} in all parts")
