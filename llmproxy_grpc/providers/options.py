"""Settings that the API does not model: checked, and merged into a request last."""

from collections.abc import Collection, Mapping
from typing import Any

from llmproxy_grpc.messages import JsonObject

DENIED_OPTIONS = frozenset(
    {
        "model",
        "messages",
        "input",
        "inputs",
        "contents",
        "texts",
        "images",
        "requests",
        "stream",
        "api_key",
        "api_base",
        "authorization",
        "base_url",
        "extra_body",
        "extra_headers",
        "extra_query",
        "headers",
        "url",
    }
)
"""Options that would change what is asked of whom, or with which credential; they are never merged."""


def add_options(body: dict[str, Any], options: Mapping[str, JsonObject], names: Collection[str]) -> None:
    """Merges the options that are meant for this provider into a request's body.

    An object adds to the object of its name, and its fields win; anything else replaces what is there.

    Args:
        body: The request so far.
        options: The caller's options, by provider kind.
        names: Which of them are meant: the kind's name, then the vendor's, which wins.
    """
    for name in names:
        for option, value in options.get(name, {}).items():
            if option not in DENIED_OPTIONS:
                body[option] = _merged(body.get(option), whole_numbers(value))


def _merged(ours: Any, theirs: Any) -> Any:
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return theirs
    # Of two types, such as json_object and json_schema, the fields of one mean nothing to the other.
    other_type = "type" in ours and "type" in theirs and ours["type"] != theirs["type"]
    return theirs if other_type else {**ours, **theirs}


def whole_numbers(value: Any) -> Any:
    """Gives integral doubles back as integers, deep down: a protobuf Struct knows doubles alone."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {name: whole_numbers(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [whole_numbers(item) for item in value]
    return value
