"""JSON objects and `google.protobuf.Struct`, which knows no integers and must not be nested deeply."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Struct, Value
from msgspec import json

from llmproxy_grpc.messages import JsonObject

MAX_DEPTH = 24
"""Levels of JSON that are kept: parsers refuse 100 levels of protobuf, and one of JSON makes three of them."""

_MAX_EXACT = 2.0**53


def to_json(struct: Struct) -> dict[str, Any]:
    """Gives a Struct as plain values; a number without fraction becomes an int, as the caller most likely wrote it."""
    return {key: _to_value(value) for key, value in struct.fields.items()}


def fill_struct(target: Struct, value: JsonObject, depth: int = 1) -> None:
    """Writes a JSON object into a Struct; what is nested deeper than `MAX_DEPTH` becomes its JSON text."""
    fields = target.fields
    for key, item in value.items():
        _fill_value(fields[str(key)], item, depth)
    target.SetInParent()


def _to_value(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return _to_number(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return to_json(value.struct_value)
    if kind == "list_value":
        return [_to_value(item) for item in value.list_value.values]
    return None


def _to_number(number: float) -> int | float:
    # Minus zero stays a float: as an int it would lose its sign.
    if number.is_integer() and abs(number) <= _MAX_EXACT and (number or math.copysign(1, number) > 0):
        return int(number)
    return number


def _fill_value(target: Value, value: Any, depth: int) -> None:
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = _from_number(value)
    elif isinstance(value, Mapping | Sequence) and depth >= MAX_DEPTH:
        target.string_value = json.encode(value).decode()
    elif isinstance(value, Mapping):
        fill_struct(target.struct_value, value, depth + 1)
    elif isinstance(value, Sequence):
        _fill_list(target.list_value, value, depth + 1)
    else:
        target.null_value = 0  # type: ignore[assignment] # the stub wants the enumeration's own type


def _from_number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _fill_list(target: ListValue, values: Sequence[Any], depth: int) -> None:
    target.SetInParent()
    for item in values:
        _fill_value(target.values.add(), item, depth)
