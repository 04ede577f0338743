"""JSON that others wrote (arguments, schemas): checked, and kept to the byte."""

import json
from math import isinf

from msgspec import Raw

from llmproxy_grpc.datasets.formats.schema_memory import remembering
from llmproxy_grpc.datasets.skipping import SkipReason, Unfit
from llmproxy_grpc.messages import FunctionTool, ToolCallPart
from llmproxy_grpc.messages.objects import is_object

_ON_ONE_LINE = bytes.maketrans(b"\n\r", b"  ")
_NO_ARGUMENTS = Raw(b'{"type":"object","properties":{}}')


def arguments_of(call: ToolCallPart) -> str:
    """The arguments of a call, exactly as the model wrote them; an empty text is an empty object.

    Raises:
        Unfit: They are no JSON object.
    """
    text = call.arguments_json
    if not text or text.isspace():
        return "{}"
    if not is_object(text):
        raise Unfit(SkipReason.ARGUMENTS_NOT_JSON)
    return text


def argument_object(call: ToolCallPart) -> Raw:
    """The arguments of a call as an object of the line itself, its numbers to the digit.

    Raises:
        Unfit: They are no JSON object, name a key twice, or have a number too large for any reader: as a text they may,
            but readers refuse lines that do.
    """
    text = arguments_of(call)
    try:
        _check(text)
    except OverflowError:
        raise Unfit(SkipReason.ARGUMENTS_NOT_JSON) from None
    except (ValueError, RecursionError):
        raise Unfit(SkipReason.DUPLICATE_KEYS) from None
    return embedded(text)


def plain_object(text: str) -> Raw | None:
    """A text as an object of the line; None if it is none, or one that readers refuse."""
    if not is_object(text):
        return None
    try:
        _check(text)
    except (ValueError, OverflowError, RecursionError):
        return None
    return embedded(text)


_plain_schema = remembering(plain_object)


def embedded(text: str) -> Raw:
    """Valid JSON text as a part of a line: between its tokens, line ends become spaces."""
    return Raw(text.encode().translate(_ON_ONE_LINE))


def parameters_of(tool: FunctionTool) -> Raw:
    """The schema of a function's arguments.

    Raises:
        Unfit: It is no JSON object, or one that readers refuse.
    """
    schema = tool.parameters_json_schema
    if not schema or schema.isspace():
        return _NO_ARGUMENTS
    plain = _plain_schema(schema)
    if plain is None:
        raise Unfit(SkipReason.TOOL_SCHEMA_INVALID)
    return plain


def _check(text: str) -> None:
    """Raises ValueError if a key stands twice, OverflowError if a number is too large."""
    json.loads(text, object_pairs_hook=_unique, parse_int=_finite, parse_float=_finite)


def _finite(digits: str) -> None:
    """Every reader has doubles for what it has no better type for; one number beyond them costs it the whole file."""
    if isinf(float(digits)):
        raise OverflowError


def _unique(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a key twice")
