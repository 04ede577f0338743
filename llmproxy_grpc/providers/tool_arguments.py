"""Arguments of tool calls on wires that carry them as a JSON object rather than as text."""

import json
from typing import Any

import msgspec
from msgspec import Raw

from llmproxy_grpc.providers.jsonio import decode_whole

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_EMPTY = Raw(b"{}")
NOT_AN_OBJECT = "INVALID_JSON"
"""The key under which text travels that is no JSON object: what a model wrote is shown to it again, not lost."""


def as_object(arguments_json: str) -> Raw:
    """The arguments as an object, to the byte; text that is none becomes the one entry of an object."""
    if not arguments_json or arguments_json.isspace():
        return _EMPTY
    data = arguments_json.encode("utf-8", "replace")
    return Raw(data if _is_object(data) else msgspec.json.encode({NOT_AN_OBJECT: arguments_json}))


def is_object(arguments_json: str) -> bool:
    """Whether a text is a whole JSON object, so that nothing can follow."""
    # Most of what is not whole yet shows it at its end.
    return arguments_json.rstrip().endswith("}") and _is_object(arguments_json.encode("utf-8", "replace"))


def as_text(arguments: Any, *, absent: str = "{}") -> str:
    """The arguments as text: the bytes of the object where the decoder kept them, so that numbers keep their digits.

    Args:
        arguments: Text, or what was decoded of an object.
        absent: What stands for none.
    """
    if isinstance(arguments, str):
        return arguments
    if isinstance(arguments, Raw):
        return _as_written(bytes(arguments).decode("utf-8", "replace"), absent)
    if arguments is None:
        return absent
    try:
        return msgspec.json.encode(arguments).decode()
    except UnicodeEncodeError:  # half a character, whose other half does not come
        return msgspec.json.encode(decode_whole(json.dumps(arguments).encode(), _ANYTHING)).decode()


def _is_object(data: bytes) -> bool:
    try:
        _OBJECT.decode(data)
    except (ValueError, RecursionError):
        return False
    return True


def _as_written(document: str, absent: str) -> str:
    if document == "null":
        return absent
    return str(_ANYTHING.decode(document)) if document.startswith('"') else document
