"""Finds errors where an answer should be: in a body or an event behind HTTP status 200."""

from typing import Any

from msgspec.json import encode

from llmproxy_grpc.providers.chat_completions.shapes import Answer
from llmproxy_grpc.providers.jsonio import joined_deeply


def in_band_error(answer: Answer[Any], data: bytes, event: str = "") -> bytes | None:
    """Gives the JSON of the error that an answer, or a piece of one, is; None if it is none.

    Args:
        answer: What came.
        data: The JSON in which it came.
        event: The name of the event in which it came; empty for none.
    """
    if answer.error:
        return data
    if answer.choices:
        error: Any = next((choice.error for choice in answer.choices if choice.error), None)
        return None if error is None else encode(joined_deeply({"error": error}))
    if answer.object == "error" or event == "error" or (answer.detail and answer.choices is None):
        return data
    return None
